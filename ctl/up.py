"""`tubepost up`: the whole platform with one command, in one process or in one per service.

On its own nats-server (a child) or on one that is given. It prints one line on stdout, when all is
ready. SIGTERM or Ctrl-C drains; a kill at any moment loses nothing, the next start goes on.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvloop
from pydantic import ValidationError

from ctl import certificate
from ctl.children import Child
from ctl.gateway import create_gateway
from ctl.processes import service_children
from ctl.server import Server, locked, own_server
from ctl.services import SERVICES
from tubepost import file_limit, log_lines, maillog, shard_count, subjects
from tubepost.admin import Health, create_app
from tubepost.errors import BadInput, Unavailable
from tubepost.keyed import Bucket
from tubepost.nats_bus import NatsBus
from tubepost.runtime import (
    Context,
    admin_server,
    settle_memory,
    stop_on_signals,
    until_drained,
)
from tubepost.settings import CommonSettings, parse_listen
from tubepost.tasks import background

LISTENERS = ("smtp", "submission", "submissions", "pop3", "pop3s")
"""Those everybody has, in the order of the ready line."""

CONNECTIONS = httpx.Limits(keepalive_expiry=2.0)
"""Of the gateway: ended by us before a service ends them (5 s), else a request meets the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of `tubepost up`. Addresses are HOST:PORT; port 0 takes a free one."""

    data: Path
    smtp: str
    submission: str
    submissions: str
    pop3: str
    pop3s: str
    admin: str
    nats: str | None
    processes: bool
    smtpd_workers: int = 1
    shards: int
    drain: float
    log_level: str

    @property
    def durability(self) -> str:
        """What a 250 means. Our own server syncs before it acknowledges; another may not."""
        return "unverified" if self.nats else "fsync"


def up(options: Options) -> int:
    """Runs until SIGTERM or SIGINT; the exit code."""
    for name in (*LISTENERS, "admin"):
        parse_listen(getattr(options, name))
    if options.smtpd_workers > 1 and not options.processes:
        raise BadInput("--smtpd-workers: without --processes there is one process; give both")
    os.umask(0o077)
    log_lines.configure(options.log_level)
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        locked(options.data) as lock,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_up(options, lock))


async def _up(options: Options, lock: int) -> int:
    stopping = asyncio.Event()
    stop_on_signals(stopping)
    file_limit.raise_soft()
    settle_memory()
    token = _token(options.data)
    (options.data / "mail").mkdir(mode=0o700, exist_ok=True)
    async with _bus(options, lock) as bus:
        values = _values(options, bus)
        # A bad word is said before anything starts; a child gets the words with ports it had.
        listeners = _settings("smtpd", values["smtpd"]).model_dump()["listeners"]
        values["smtpd"]["listeners"] = listeners
        await until_drained(_same_shards(_settings("scheduler", values["scheduler"])), stopping, 0)
        run = _run_processes if options.processes else _run_here
        await run(options, values, token, stopping, lock)
    maillog.service_stopped("tubepost")
    return 0


@contextlib.asynccontextmanager
async def _bus(options: Options, lock: int) -> AsyncIterator[Server]:
    """The given server, or an embedded one that runs as long as the body."""
    if options.nats:
        yield Server(options.nats, {})
        return
    async with own_server(options.data, options.shards, lock) as server:
        yield server


async def _same_shards(settings: CommonSettings) -> None:
    """Raises WrongCount where the queue has another number of shards than we are to start with."""
    bus = await NatsBus.connect(
        settings.nats_url.split(","),
        name="up",
        user=settings.nats_user,
        password=settings.secret("nats_password"),
    )
    try:
        found = await Bucket(bus, subjects.CONTROL).get(subjects.SHARD_COUNT, leader=True)
    except Unavailable:
        return  # nothing there yet; and if there is, the services look for themselves
    finally:
        await bus.close()
    if found:
        shard_count.check(shard_count.decode(found[0]), settings.shards)


def _values(options: Options, bus: Server) -> dict[str, dict[str, str]]:
    """The settings of each service, as text: keyword arguments here, environment in a child."""
    cert, key, made = certificate.ensure(options.data, socket.gethostname())
    if made:
        maillog.certificate_made(str(cert))
    common = {
        "nats_url": bus.url,
        "shards": str(options.shards),
        "log_level": options.log_level,
        "drain": str(options.drain),
        "token_file": str(options.data / "token"),
        "durability": options.durability,
    }
    tls = {"tls_cert": str(cert), "tls_key": str(key)}
    root = {"mail_root": str(options.data / "mail")}
    workers = {"reuse_port": "true"} if options.smtpd_workers > 1 else {}
    own: dict[str, dict[str, str]] = {
        "scheduler": {},
        "popauth": {"pop3": options.pop3, "pop3s": options.pop3s, **tls, **root},
        "local": root,
        "remote": {},
        "smtpd": {name: getattr(options, name) for name in LISTENERS[:3]} | tls | workers,
    }
    return {service: {**common, **more, **_user(service, bus)} for service, more in own.items()}


def _user(service: str, bus: Server) -> dict[str, str]:
    if service not in bus.passwords:
        return {}
    return {"nats_user": service, "nats_password": bus.passwords[service]}


async def _run_here(
    options: Options,
    values: Mapping[str, Mapping[str, str]],
    token: str,
    stopping: asyncio.Event,
    _lock: int,
) -> None:
    """All five in this process; one HTTP app has the resources of all."""
    health = Health()
    app = create_app(health, token, options.durability)
    contexts = {name: Context(name, app, health, stopping) for name in SERVICES}
    for name, context in contexts.items():
        health.checks[name] = lambda c=context: "" if c.is_ready.is_set() else "starting"  # type: ignore[misc]
    async with admin_server(app, options.admin) as admin:
        settings = {name: _settings(name, values[name]) for name in SERVICES}
        work = _serve_all(settings, contexts)
        async with _announcing(options, admin, contexts):
            await until_drained(work, stopping, options.drain)


async def _serve_all(
    settings: Mapping[str, CommonSettings], contexts: Mapping[str, Context]
) -> None:
    """Until all have ended. The first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, context in contexts.items():
                group.create_task(SERVICES[name].serve(settings[name], context))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed


def _settings(name: str, values: Mapping[str, str]) -> CommonSettings:
    try:
        return SERVICES[name].settings(**values)  # type: ignore[arg-type]  # pydantic reads text
    except ValidationError as error:
        first = error.errors()[0]
        variable = "TUBEPOST_" + "_".join(str(part).upper() for part in first["loc"])
        raise BadInput(f"{variable}: {first['msg']}") from error


@contextlib.asynccontextmanager
async def _announcing(
    options: Options, admin: str, contexts: Mapping[str, Context]
) -> AsyncIterator[None]:
    async def announce() -> None:
        found: dict[str, str] = {}
        for context in contexts.values():
            await context.is_ready.wait()
            found |= context.addresses
        _print_ready(options, admin, found)

    task = asyncio.create_task(announce())
    try:
        yield
    finally:
        task.cancel()


async def _run_processes(
    options: Options,
    values: Mapping[str, Mapping[str, str]],
    _token: str,
    stopping: asyncio.Event,
    lock: int,
) -> None:
    """A child for each service, several for smtpd, and a gateway in front of their admin ports."""
    children = service_children(values, options.smtpd_workers, lock)

    def addresses() -> dict[str, str]:
        return {name: child.said["admin"] for name, child in children.items() if child.said}

    async with (
        httpx.AsyncClient(timeout=30, limits=CONNECTIONS) as client,
        admin_server(
            create_gateway(addresses, client, options.durability, processes=tuple(children)),
            options.admin,
        ) as admin,
    ):
        try:
            async with background(*(child.run() for child in children.values())):
                if await _all_ready(children, stopping):
                    found = {k: v for child in children.values() for k, v in child.said.items()}
                    _print_ready(options, admin, found)
                    await stopping.wait()
        finally:
            await asyncio.gather(*(child.stop(options.drain + 5) for child in children.values()))


async def _all_ready(children: Mapping[str, Child], stopping: asyncio.Event) -> bool:
    """True once every child is ready, False where we are told to stop before."""

    async def ready() -> None:
        for child in children.values():
            await child.ready.wait()

    tasks = {asyncio.create_task(ready()), asyncio.create_task(stopping.wait())}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    return not stopping.is_set()


def _print_ready(options: Options, admin: str, found: Mapping[str, str]) -> None:
    _write_secret(options.data / "admin", admin + "\n")
    more = sorted(found.keys() - {*LISTENERS, "admin"})
    places = " ".join(f"{name}={found[name]}" for name in (*LISTENERS, *more))
    sys.stdout.write(f"ready {places} admin={admin} durability={options.durability}\n")
    sys.stdout.flush()


def _token(data: Path) -> str:
    """The admin token, made at the first start."""
    file = data / "token"
    if not file.exists():
        _write_secret(file, secrets.token_urlsafe(24) + "\n")
    return file.read_text().strip()


def _write_secret(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
