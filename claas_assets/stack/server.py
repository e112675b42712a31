"""The CLaaS contract over HTTP, served by one engine: the routes, and how errors are answered.

Errors are JSON with a `detail` that says what was wrong and what is allowed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from claas_assets import __version__
from claas_assets.stack.adapters import AdapterError, AdapterExistsError, UnknownAdapterError
from claas_assets.stack.engine import Engine
from claas_assets.stack.places import canonical_model
from claas_assets.stack.routes import adapters, feedback, generation, service
from claas_assets.stack.state import State
from claas_assets.stack.text import PromptError


def create_app(engine: Engine, base_model: str) -> FastAPI:
    """The application; `app.state.stack` holds its `State`."""
    app = FastAPI(title="CLaaS, embedded", version=__version__)
    state = State(engine, canonical_model(base_model))
    app.state.stack = state
    _count_requests(app, state)
    _map_errors(app)
    for group in (service, generation, adapters, feedback):
        app.include_router(group.router(state))
    return app


def _count_requests(app: FastAPI, state: State) -> None:
    @app.middleware("http")
    async def count(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        state.begin_request()
        try:
            return await call(request)
        finally:
            state.end_request()


def _map_errors(app: FastAPI) -> None:
    codes: dict[type[Exception], int] = {
        UnknownAdapterError: 404,
        AdapterExistsError: 409,
        AdapterError: 422,
        PromptError: 400,
    }
    for kind, code in codes.items():

        def answer(_: Request, error: Exception, code: int = code) -> JSONResponse:
            return JSONResponse({"detail": str(error)}, status_code=code)

        app.add_exception_handler(kind, answer)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, status_code=500)
