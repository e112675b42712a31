"""The CLaaS contract over HTTP, served by one engine: the routes, and how errors are answered."""

from collections.abc import Sequence

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from claas_assets import __version__
from claas_assets.stack.adapters import AdapterError, AdapterExistsError, UnknownAdapterError
from claas_assets.stack.engine import Engine
from claas_assets.stack.http_guards import Gate, check_text, error_answer
from claas_assets.stack.places import canonical_model
from claas_assets.stack.routes import adapters, feedback, generation, service
from claas_assets.stack.state import State
from claas_assets.stack.text import PromptError

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def create_app(engine: Engine, base_model: str, allowed_hosts: Sequence[str] = LOOPBACK) -> FastAPI:
    """The application; `app.state.stack` holds its `State`.

    A request's Host header must be one of `allowed_hosts`: a web page that made its own name resolve
    to this machine (DNS rebinding) could train and delete adapters otherwise.
    """
    app = FastAPI(title="CLaaS, embedded", version=__version__)
    state = State(engine, canonical_model(base_model))
    app.state.stack = state
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)
    app.add_middleware(Gate, state=state)
    _map_errors(app)
    for group in (service, generation, adapters, feedback):
        app.include_router(group.router(state), dependencies=[Depends(check_text)])
    return app


def _map_errors(app: FastAPI) -> None:
    codes: dict[type[Exception], int] = {
        UnknownAdapterError: 404,
        AdapterExistsError: 409,
        AdapterError: 422,
        PromptError: 400,
    }
    for kind, code in codes.items():

        def answer(_: Request, error: Exception, code: int = code) -> JSONResponse:
            return error_answer(code, str(error))

        app.add_exception_handler(kind, answer)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return error_answer(error.status_code, error.detail)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        """Without the input: it may be large, or no JSON (NaN)."""
        return error_answer(422, [{key: each[key] for key in ("type", "loc", "msg")} for each in error.errors()])

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return error_answer(500, f"{type(error).__name__}: {error}")
