"""The viewer as a web application: `build_app(results_dir)`, and `mount_eval` to serve it within another one."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import Route

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.figures import FIGURES
from claas_assets.evaluation.mistakes import with_value
from claas_assets.evaluation.runs.overview import RunOverview, short_error
from claas_assets.viewer import listing as lists
from claas_assets.viewer import pages
from claas_assets.viewer.compare import MAX_RUNS, compare_csv, compare_json, compare_page
from claas_assets.viewer.compared_runs import read_runs
from claas_assets.viewer.guard import LOOPBACK, TEXT_POLICY, Guard
from claas_assets.viewer.results_folder import ResultsFolder
from claas_assets.viewer.svg import figure_svg
from claas_assets.viewer.sweep import NotOfThisSweep, sweep_page
from claas_assets.viewer.templating import STATIC

Text = Annotated[str, Query(max_length=500)]
Page = Annotated[int, Query(ge=1, le=10**6)]
PerPage = Annotated[int, Query(ge=1, le=200)]
MaybeText = Annotated[str | None, Query(max_length=1000)]
RunIds = Annotated[list[str], Query()]


def build_app(results_dir: Path, allowed_hosts: Iterable[str] = LOOPBACK, only: str | None = None) -> FastAPI:
    """The pages of the runs below `results_dir`, or of its run `only` alone."""
    app = FastAPI(title="claas-eval", openapi_url=None, docs_url=None, redoc_url=None)
    places = ResultsFolder(results_dir, only)
    app.include_router(_lists(places))
    app.include_router(_runs(places))
    app.include_router(_comparisons(places))
    app.mount("/static", StaticFiles(directory=STATIC))
    _map_errors(app)
    app.add_middleware(Guard, allowed_hosts=tuple(allowed_hosts))
    return app


def mount_eval(
    app: FastAPI, results_dir: Path, allowed_hosts: Iterable[str] = LOOPBACK, path: str = "/v1/eval"
) -> None:
    """Serve the viewer at `path` and below it."""
    viewer = build_app(results_dir, allowed_hosts)

    async def at_the_path_itself(scope: Any, receive: Any, send: Any) -> None:
        """A mount begins at `path/`; the contract's address has no slash."""
        root = scope.get("root_path", "") + path
        await viewer({**scope, "root_path": root, "path": f"{root}/"}, receive, send)

    app.router.routes.append(Route(path, _Endpoint(at_the_path_itself), include_in_schema=False))
    app.mount(path, viewer)


class _Endpoint:
    """A class instance as an endpoint is an ASGI application to Starlette; a function would be a handler."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.application(scope, receive, send)


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _lists(places: ResultsFolder) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def show_list(
        request: Request, q: Text = "", sort: Text = "-created", page: Page = 1,
        per_page: PerPage = lists.PER_PAGE, results_dir: MaybeText = None, part: bool = False,
    ) -> HTMLResponse:  # fmt: skip
        folder = places.results(results_dir)
        query = lists.Query(q, sort, page, per_page, results_dir)
        listing = lists.make_listing(places.listed(folder), query)
        linked = folder == places.root
        place = places.shown if linked else str(results_dir)
        return HTMLResponse(pages.list_page(_base(request), listing, query, place, linked=linked, part=part))

    @router.get("/api/runs")
    def tell_runs(
        q: Text = "", sort: Text = "-created", page: Page = 1, per_page: PerPage = lists.PER_PAGE,
        results_dir: MaybeText = None,
    ) -> JSONResponse:  # fmt: skip
        query = lists.Query(q, sort, page, per_page, results_dir)
        listing = lists.make_listing(places.listed(places.results(results_dir)), query)
        told = [_told(run) for run in listing.runs]
        return JSONResponse({"token": pages.token_of(listing.runs), "running": listing.running, "runs": told})

    @router.get("/api/runs/{run_id}")
    def tell_run(run_id: str) -> JSONResponse:
        _, overview = places.run(run_id)
        running = overview.state == "running"
        return JSONResponse({"token": pages.token_of([overview]), "running": running, "runs": [_told(overview)]})

    return router


def _told(run: RunOverview) -> dict[str, Any]:
    told = asdict(run)
    told["settings"] = dict(run.settings)
    for preference, record in zip(told["preferences"], run.preferences, strict=True):
        preference["interval"] = record.interval.model_dump() if record.interval else None
    return told


def _runs(places: ResultsFolder) -> APIRouter:
    router = APIRouter(prefix="/runs/{run_id}")

    @router.get("")
    def show_run(request: Request, run_id: str) -> HTMLResponse:
        return HTMLResponse(pages.run_page(_base(request), *places.run(run_id)))

    @router.get("/figures/{name}.svg")
    def show_figure(run_id: str, name: str) -> Response:
        if name not in FIGURES:
            raise HTTPException(404, f"There is no such figure: {', '.join(FIGURES)} are.")
        svg = figure_svg(places.run(run_id)[0], name)
        return Response(svg, media_type="image/svg+xml") if svg else Response(status_code=204)

    @router.get("/{preference}")
    def show_preference(request: Request, run_id: str, preference: str, prompt: MaybeText = None) -> HTMLResponse:
        folder, overview = places.preference(run_id, preference)
        return HTMLResponse(pages.preference_page(_base(request), folder, overview, prompt))

    @router.get("/{preference}/compare")
    def show_comparison(request: Request, run_id: str, preference: str, prompt: MaybeText = None) -> HTMLResponse:
        return HTMLResponse(pages.compare_part(_base(request), places.preference(run_id, preference)[0], prompt))

    @router.get("/{preference}/answers")
    def show_answers(
        request: Request, run_id: str, preference: str, show: Text = "all", key: MaybeText = None, page: Page = 1
    ) -> HTMLResponse:
        folder, _ = places.preference(run_id, preference)
        return HTMLResponse(pages.answers_page(_base(request), folder, show, key, page))

    @router.get("/{preference}/states/{state}")
    def show_state(request: Request, run_id: str, preference: str, state: str, part: bool = False) -> HTMLResponse:
        folder, _ = places.preference(run_id, preference)
        return HTMLResponse(pages.state_page(_base(request), folder, state, part=part))

    @router.get("/{preference}/states/{state}/whole")
    def show_whole(run_id: str, preference: str, state: str, key: Annotated[str, Query(max_length=1000)]) -> Response:
        text = pages.whole_text(places.preference(run_id, preference)[0], state, key)
        return PlainTextResponse(text, headers={"content-security-policy": TEXT_POLICY})

    return router


def _comparisons(places: ResultsFolder) -> APIRouter:
    router = APIRouter()

    def chosen(run: list[str]) -> list[tuple[Path, RunOverview]]:
        names = list(dict.fromkeys(run))
        if not 2 <= len(names) <= MAX_RUNS:
            raise HTTPException(400, f"Choose two to {MAX_RUNS} runs in the list; {len(names)} were.")
        return [places.run(name) for name in names]

    @router.get("/compare")
    def show_runs(request: Request, run: RunIds = []) -> HTMLResponse:  # noqa: B006 (FastAPI copies it)
        found = chosen(run)
        runs, broken = read_runs(folder for folder, _ in found)
        return HTMLResponse(compare_page(_base(request), [overview for _, overview in found], runs, broken))

    @router.get("/compare.json")
    def tell_as_json(run: RunIds = []) -> Response:  # noqa: B006
        return Response(compare_json(*read_runs(folder for folder, _ in chosen(run))), media_type="application/json")

    @router.get("/compare.csv")
    def tell_as_csv(run: RunIds = []) -> Response:  # noqa: B006
        runs, broken = read_runs(folder for folder, _ in chosen(run))
        if broken:  # a table has no place for it, and would look whole
            raise HTTPException(409, "; ".join(f"{name} cannot be read: {why}" for name, why in broken.items()))
        headers = {"content-disposition": 'attachment; filename="compare.csv"', "content-security-policy": TEXT_POLICY}
        return Response(compare_csv(runs), media_type="text/csv", headers=headers)

    @router.get("/sweeps/{sweep_id}")
    def show_sweep(request: Request, sweep_id: str, criterion: MaybeText = None, x: MaybeText = None) -> HTMLResponse:
        runs, broken = read_runs(places.sweep(sweep_id))
        return HTMLResponse(sweep_page(_base(request), sweep_id, runs, broken, {"criterion": criterion, "x": x}))

    return router


def _map_errors(app: FastAPI) -> None:
    def answer(request: Request, status: int, message: str) -> HTMLResponse:
        return HTMLResponse(pages.error_page(_base(request), status, message), status_code=status)

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> HTMLResponse:
        return answer(request, error.status_code, str(error.detail))

    @app.exception_handler(pages.NotThere)
    def not_there(request: Request, error: pages.NotThere) -> HTMLResponse:
        return answer(request, 404, str(error))

    @app.exception_handler(NotOfThisSweep)
    def not_swept(request: Request, error: NotOfThisSweep) -> HTMLResponse:
        return answer(request, 400, str(error))

    @app.exception_handler(RunFolderError)
    def unreadable(request: Request, error: RunFolderError) -> HTMLResponse:
        return answer(request, 500, short_error(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> HTMLResponse:
        return answer(request, 422, "; ".join(f"{found['loc'][-1]}: {with_value(found)}" for found in error.errors()))
