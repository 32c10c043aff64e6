"""The HTTP side of a service: /healthz, /readyz, /metrics and its own resources under /v1.

/v1 needs the bearer token; without one configured it is closed to everybody. Errors are problem
documents (RFC 9457). A service adds its resources with `app.include_router`.
"""

import hmac
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException

from tubepost import __name__ as product
from tubepost import maillog
from tubepost.errors import BadInput, Conflict, Exists, NotFound, StoreFull, Unavailable

STATUS_OF: dict[type[Exception], int] = {
    NotFound: 404,
    Exists: 409,
    Conflict: 409,
    BadInput: 400,
    StoreFull: 507,
    Unavailable: 503,
}


class Health:
    """Why a service is not ready: each check returns a reason, or "" when all is well."""

    def __init__(self) -> None:
        self.checks: dict[str, Callable[[], str]] = {}

    def reasons(self) -> dict[str, str]:
        found = {name: check() for name, check in self.checks.items()}
        return {name: reason for name, reason in found.items() if reason}


def create_app(health: Health, token: str, durability: str = "unverified") -> FastAPI:
    """The app of a process. `token`: see `protected`. `durability`: what a 250 means, to show."""
    app = FastAPI(title=product, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.token = token
    app.state.before_metrics = []

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """The process runs and answers."""
        return "ok\n"

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """The service can do its work now. 503 says what is missing."""
        reasons = health.reasons()
        body = {"ready": not reasons, "durability": durability, "reasons": reasons}
        return JSONResponse(body, status_code=503 if reasons else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        for bring_up_to_date in app.state.before_metrics:
            bring_up_to_date()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    described = protected()

    @described.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return app.openapi()

    app.include_router(described)
    _problems(app)
    return app


def require_token(request: Request) -> None:
    """Dependency of every /v1 resource."""
    token: str = request.app.state.token
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token or not hmac.compare_digest(given.encode(), token.encode()):
        raise HTTPException(401, "give the admin token as: Authorization: Bearer TOKEN")


def protected() -> APIRouter:
    """A router whose resources need the token."""
    return APIRouter(prefix="/v1", dependencies=[Depends(require_token)])


def problem(status: int, detail: str) -> JSONResponse:
    """A problem document (RFC 9457)."""
    return JSONResponse(
        {"type": "about:blank", "status": status, "detail": detail},
        status_code=status,
        media_type="application/problem+json",
        headers={"WWW-Authenticate": "Bearer"} if status == 401 else None,
    )


def _problems(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def http_error(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(400, f"{where}: {first['msg']}")

    async def known(_: Request, error: Exception) -> JSONResponse:
        status = next(s for kind, s in STATUS_OF.items() if isinstance(error, kind))
        return problem(status, str(error))

    for kind in STATUS_OF:
        app.add_exception_handler(kind, known)

    @app.exception_handler(Exception)
    async def bug(request: Request, _: Exception) -> JSONResponse:
        maillog.bug(f"{request.method} {request.url.path}")
        return problem(500, "internal error; the log has the details")
