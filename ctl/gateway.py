"""One admin port in front of all processes: passes /v1 on to its owner, joins the rest.

A process is called after its service, or, where there are several, `smtpd-1` and so on.
"""

from collections.abc import Callable, Mapping, Sequence

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from starlette.background import BackgroundTask

from ctl.services import SERVICES
from tubepost.admin import BodyLimit, problem

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class Gateway:
    """`addresses`: where each process has its own admin port now, by process."""

    def __init__(
        self,
        addresses: Callable[[], Mapping[str, str]],
        client: httpx.AsyncClient,
        processes: Sequence[str],
    ) -> None:
        self._addresses, self._client, self._processes = addresses, client, processes
        self._owners = {part: name for name, service in SERVICES.items() for part in service.owns}

    async def not_ready(self) -> dict[str, str]:
        """Why the platform is not ready, by check; empty when it is."""
        reasons: dict[str, str] = {}
        for name in self._processes:
            answer = await _ask(self._client, self._addresses().get(name), "/readyz")
            if answer is None:
                reasons[name] = "does not answer"
            elif answer.status_code != 200:
                own = answer.json()["reasons"]
                whose = f"{name}: " if name != _service(name) else ""
                reasons |= {whose + check: why for check, why in own.items()}
        return reasons

    async def metrics(self) -> str:
        """The metrics of every process that answers."""
        texts = {}
        for name in self._processes:
            answer = await _ask(self._client, self._addresses().get(name), "/metrics")
            if answer is not None:
                texts[name] = answer.text
        return joined(texts)

    async def pass_on(self, path: str, request: Request) -> Response:
        """The owner's answer to a request for /v1/`path`."""
        owner, addresses = self._owners.get(path.partition("/")[0], ""), self._addresses()
        those = (addresses.get(name) for name in self._processes if _service(name) == owner)
        address = next(filter(None, those), None)
        if address is None:
            return problem(404, f"there is no resource /v1/{path}")
        return await _passed_on(self._client, f"http://{address}", request)


def create_gateway(
    addresses: Callable[[], Mapping[str, str]],
    client: httpx.AsyncClient,
    durability: str,
    processes: Sequence[str] = tuple(SERVICES),
) -> FastAPI:
    """The app of the one port."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(BodyLimit)
    gateway = Gateway(addresses, client, processes)

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        return "ok\n"

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        reasons = await gateway.not_ready()
        body = {"ready": not reasons, "durability": durability, "reasons": reasons}
        return JSONResponse(body, status_code=503 if reasons else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await gateway.metrics(), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/v1/{path:path}", gateway.pass_on, methods=METHODS)
    return app


def _service(process: str) -> str:
    return process.partition("-")[0]


async def _ask(client: httpx.AsyncClient, address: str | None, path: str) -> httpx.Response | None:
    if address is None:
        return None
    try:
        return await client.get(f"http://{address}{path}")
    except httpx.HTTPError:
        return None  # the caller reports it as not answering


async def _passed_on(client: httpx.AsyncClient, base: str, request: Request) -> Response:
    headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
    url = httpx.URL(base).copy_with(raw_path=_target(request))
    try:
        has_body = not {"content-length", "transfer-encoding"}.isdisjoint(request.headers.keys())
        content = request.stream() if has_body else b""  # passed on as it comes, never held
        asked = client.build_request(request.method, url, headers=headers, content=content)
        answer = await client.send(asked, stream=True)
    except httpx.HTTPError as error:
        return problem(503, f"the service does not answer: {error!r}")
    kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        headers=kept,
        background=BackgroundTask(answer.aclose),
    )


def _target(request: Request) -> bytes:
    """Path and query as they came: an encoded @ or / must not be decoded on the way."""
    raw: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return raw + (b"?" + query if query else b"")


def joined(texts: Mapping[str, str]) -> str:
    """The metrics of several processes as one text: each sample gets a label `service`.

    Where a service has several processes, a label `worker`, too: a sum could not tell the restart
    of one of them from an overflow of its counters.
    """
    families: dict[str, list[str]] = {}
    for process, text in texts.items():
        service, _, worker = process.partition("-")
        whose = {"service": service} | ({"worker": worker} if worker else {})
        for family in text_string_to_metric_families(text):
            kind = "untyped" if family.type == "unknown" else family.type
            name = family.name + ("_total" if kind == "counter" else "")
            lines = families.setdefault(
                family.name,
                [f"# HELP {name} {_escaped_help(family.documentation)}", f"# TYPE {name} {kind}"],
            )
            for sample in family.samples:
                labels = {**whose, **sample.labels}
                inside = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items())
                lines.append(f"{sample.name}{{{inside}}} {sample.value}")
    return "\n".join(line for lines in families.values() for line in lines) + "\n"


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped(text: str) -> str:
    return _escaped_help(text).replace('"', '\\"')
