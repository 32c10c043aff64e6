"""Runs a service: event loop, signals, admin port, drain. It knows no service.

`serve(settings, context)` builds a service, calls `context.ready`, and returns after
`context.stopping` is set and its work has ended. It never touches signals, logging or the process,
so that several can share one process (`tubepost up`).
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError

from tubepost import file_limit, log_lines, maillog
from tubepost.admin import Health, create_app
from tubepost.errors import TubepostError
from tubepost.events import Events
from tubepost.nats_bus import NatsBus
from tubepost.settings import CommonSettings, parse_listen
from tubepost.tasks import background

S = TypeVar("S", bound=CommonSettings)


@dataclass
class Context:
    """What a service gets from whoever runs it."""

    service: str
    app: FastAPI
    health: Health
    stopping: asyncio.Event
    addresses: dict[str, str] = field(default_factory=dict)
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def before_metrics(self) -> list[Callable[[], None]]:
        """Functions that bring gauges up to date when /metrics is read."""
        hooks: list[Callable[[], None]] = self.app.state.before_metrics
        return hooks

    def ready(self, **addresses: str) -> None:
        """Says that the service does its work, and where it listens (`smtp="127.0.0.1:2525"`)."""
        self.addresses.update(addresses)
        maillog.service_ready(self.service, addresses)
        self.is_ready.set()

    @contextlib.asynccontextmanager
    async def bus(self, settings: CommonSettings) -> AsyncIterator[NatsBus]:
        """A connection of this service's own; readiness follows it."""
        bus = await NatsBus.connect(
            settings.nats_url.split(","),
            name=self.service,
            user=settings.nats_user,
            password=settings.secret("nats_password"),
        )
        self.health.checks[f"{self.service}: bus"] = lambda: (
            "" if bus.connected else "no connection to the bus"
        )
        try:
            yield bus
        finally:
            await bus.close()

    @contextlib.asynccontextmanager
    async def events(self, bus: NatsBus, settings: CommonSettings) -> AsyncIterator[Events]:
        """Where this service tells what happens to mails; what is told last goes out, too."""
        instance = f"{settings.hostname}-{os.getpid()}"
        events = Events(bus, self.service, instance, time.time)
        async with background(events.run()):
            yield events


class _Admin(uvicorn.Server):
    """uvicorn without its signal handlers: the process has one owner of signals."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@contextlib.asynccontextmanager
async def admin_server(app: FastAPI, listen: str, grace: int = 5) -> AsyncIterator[str]:
    """Serves `app`; yields HOST:PORT as bound. `grace`: seconds that requests have at the end."""
    host, port = parse_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen()  # so that nobody is turned away until uvicorn is there
    server = _Admin(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=grace,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield bound(sock)
    finally:
        server.should_exit = True
        await task


def bound(sock: socket.socket) -> str:
    """HOST:PORT of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def run(
    service: str, settings_type: type[S], serve: Callable[[S, Context], Awaitable[None]]
) -> int:
    """The whole life of a service's process; its exit code. 0 after SIGTERM or SIGINT."""
    try:
        settings = settings_type()
    except ValidationError as error:
        log_lines.configure("info", service)
        for problem in error.errors():
            name = "TUBEPOST_" + "_".join(str(part).upper() for part in problem["loc"])
            maillog.bad_setting(name, problem["msg"])
        return 2
    os.umask(0o077)
    log_lines.configure(settings.log_level, service)
    maillog.settings_in_force(service, settings.shown())
    file_limit.raise_soft()
    settle_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(service, settings, serve))


async def _main(service: str, settings: S, serve: Callable[[S, Context], Awaitable[None]]) -> int:
    stopping = asyncio.Event()
    stop_on_signals(stopping)
    health = Health()
    app = create_app(health, settings.secret("token"), settings.durability)
    context = Context(service, app, health, stopping)
    health.checks[service] = lambda: "" if context.is_ready.is_set() else "starting"
    try:
        async with admin_server(app, settings.admin_listen) as admin:
            announcing = asyncio.create_task(_announce(context, admin, settings.ready_fd))
            try:
                await until_drained(serve(settings, context), stopping, settings.drain)
            finally:
                announcing.cancel()
    except (TubepostError, OSError) as error:
        maillog.service_failed(service, str(error))
        return 1
    maillog.service_stopped(service)
    return 0


def settle_memory() -> None:
    """What is loaded by now stays: the collector need not look at it again, nor look often.

    Sessions and deliveries leave almost no cycles behind; looking for them at Python's default
    pace cost a tenth of the CPU (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def stop_on_signals(stopping: asyncio.Event) -> None:
    """SIGTERM and SIGINT begin the drain."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)


async def until_drained(service: Awaitable[Any], stopping: asyncio.Event, drain: float) -> None:
    """Awaits a service; once `stopping` is set it has `drain` seconds, then it is cut off.

    Cutting off loses nothing: what was running is in the queue and is done again.
    """
    task = asyncio.ensure_future(service)
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=drain)
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        stop.cancel()
        if not task.done():
            task.cancel()


async def _announce(context: Context, admin: str, ready_fd: int | None) -> None:
    """Tells the parent process, if it left us a descriptor, where we listen."""
    await context.is_ready.wait()
    if ready_fd is not None:
        line = json.dumps({"admin": admin, **context.addresses}) + "\n"
        with os.fdopen(ready_fd, "w") as pipe:
            pipe.write(line)
