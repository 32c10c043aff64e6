"""The HTTP side of a service: /healthz, /readyz, /metrics and its own resources under /v1.

/v1 needs the bearer token; without one configured it is closed to everybody. A domain's own
administrator has a token of his own, and only what a router opens to him. Errors are problem
documents (RFC 9457). A service adds its resources with `app.include_router`.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tubepost import __name__ as product
from tubepost import maillog
from tubepost.errors import BadInput, Conflict, Exists, NotFound, StoreFull, Unavailable
from tubepost.outcome import one_line

STATUS_OF: dict[type[Exception], int] = {
    NotFound: 404,
    Exists: 409,
    Conflict: 409,
    BadInput: 400,
    StoreFull: 507,
    Unavailable: 503,
}


ACTOR_HEADER = "X-Tubepost-Actor"
MAX_ACTOR = 100

NOT_YOURS = "this token is not for that domain; ask the administrator of the platform"
"""Whether there is such a domain is nothing that a stranger hears."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `domains`: what the token is for; None = everything, the admin token."""

    name: str = "admin"
    domains: frozenset[str] | None = None

    def may(self, domain: str) -> bool:
        return self.domains is None or domain in self.domains

    def check(self, domain: str) -> None:
        """Raises a 403 that tells nothing of the domain."""
        if not self.may(domain):
            raise HTTPException(403, NOT_YOURS)


class Problem(BaseModel):
    """What an error is (RFC 9457). `detail` is one line that says what to do."""

    type: str = "about:blank"
    status: int
    detail: str


_PROBLEM = {"application/problem+json": {"schema": Problem.model_json_schema()}}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What was asked cannot be done: `detail` says why", "content": _PROBLEM},
    "5XX": {"description": "Not now", "content": _PROBLEM},
}
"""What every resource may answer besides, for OpenAPI."""

MOST_BODY = 2 << 20
"""Octets of a body: more than the longest list takes. It is read before anybody is asked for a
token, and a user changes his own password without one."""

MESSAGES = "/v1/messages"
"""Mails come here: it has a limit of its own, and reads nothing before it has seen a token."""

Tokens = Callable[[str], Principal | None]
"""Whose token a text is, of those that are not the admin's."""


class BodyLimit:
    """ASGI middleware: 413 to whoever sends more than `MOST_BODY`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == MESSAGES:
            await self._app(scope, receive, send)
            return
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MOST_BODY:
                raise HTTPException(413, f"a request has {MOST_BODY} octets at most; send less")
            return message

        await self._app(scope, limited, send)


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
    app.state.tokens = _no_others
    app.state.before_metrics = []
    app.add_middleware(BodyLimit)

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


def _no_others(_token: str) -> Principal | None:
    """Only popauth knows other tokens than the admin's."""
    return None


def require_token(request: Request) -> Principal:
    """Dependency of every /v1 resource: whose token it is. 401 where it is nobody's."""
    token: str = request.app.state.token
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and hmac.compare_digest(given.encode(), token.encode()):
        return Principal(_actor(request))
    tokens: Tokens = request.app.state.tokens
    found = tokens(given) if token else None
    if found is None:
        raise HTTPException(401, "give the admin token as: Authorization: Bearer TOKEN")
    return found


Who = Annotated[Principal, Depends(require_token)]


def require_admin(who: Who) -> Principal:
    """As `require_token`, where the token of a domain will not do."""
    if who.domains is not None:
        raise HTTPException(403, "this needs the admin token; yours is for its domains only")
    return who


Admin = Annotated[Principal, Depends(require_admin)]


def _actor(request: Request) -> str:
    """Who holds the admin token is believed when he says who he is."""
    return one_line(request.headers.get(ACTOR_HEADER, ""), MAX_ACTOR) or Principal().name


def protected() -> APIRouter:
    """A router whose resources need the admin token."""
    return APIRouter(prefix="/v1", dependencies=[Depends(require_admin)], responses=PROBLEMS)


def open_to_domains() -> APIRouter:
    """A router whose resources take any token: each has to check what `Who` may."""
    return APIRouter(prefix="/v1", dependencies=[Depends(require_token)], responses=PROBLEMS)


def open_to_all() -> APIRouter:
    """A router whose resources want no token: each has to ask for another proof."""
    return APIRouter(prefix="/v1", responses=PROBLEMS)


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
