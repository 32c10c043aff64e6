"""popauth's wiring: directory, logins, POP3 listeners, /v1."""

import os
import ssl
import time

from services.popauth.api import router
from services.popauth.connection import Pop3Server, Pop3Service
from services.popauth.desk import Desk, desk
from services.popauth.logins import Logins
from services.popauth.passwords import Passwords
from services.popauth.secrets import Secrets
from services.popauth.settings import Settings
from tubepost import maillog, metrics, subjects
from tubepost.certificates import server_tls
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.nats_bus import NatsBus
from tubepost.relay_list import RelayList
from tubepost.runtime import Context
from tubepost.settings import parse_listen
from tubepost.tasks import background

GRACE = 10.0
"""Seconds POP3 commands that run at the end have to finish."""


async def serve(settings: Settings, context: Context) -> None:
    """Serves POP3 until `context.stopping` is set."""
    async with context.bus(settings) as bus:
        control, directory = Control(bus, settings.hostname), Directory(bus)
        async with background(control.run(), directory.run()):
            await control.mirror.loaded.wait()
            await directory.loaded()
            passwords = Passwords(settings.hash_threads)
            parts = desk(bus, directory, control, passwords, time.time)
            try:
                async with background(parts.tokens.mirror.run()):
                    await parts.tokens.mirror.loaded.wait()
                    await _run(settings, context, bus, parts, passwords)
            finally:
                passwords.close()


async def _run(
    settings: Settings, context: Context, bus: NatsBus, parts: Desk, passwords: Passwords
) -> None:
    control = parts.control
    relay_list = RelayList(bus, time.time)
    logins = Logins(
        parts.directory,
        passwords,
        relay_list,
        control,
        secrets=Secrets(bus),
        mail_root=settings.mail_root,
        window=settings.relay_window,
        instance=f"{settings.hostname}-{os.getpid()}",
    )
    await bus.answer(
        subjects.AUTH_CHECK, logins.check, group="popauth", at_once=4 * settings.hash_threads
    )
    await bus.answer(subjects.AUTH_HERE, _here, group="popauth")
    context.app.state.tokens = parts.tokens.principal
    context.app.include_router(router(parts, relay_list))
    service = Pop3Service(authority=logins, hostname=control.me, on_fault=maillog.bug)
    server = Pop3Server(service, on_sessions=metrics.POP3_SESSIONS.set)
    tls = server_tls(settings, context.before_metrics)
    context.ready(**await _listen(settings, server, tls))
    await context.stopping.wait()
    await server.close(GRACE)


async def _here(_subject: str, _data: bytes) -> bytes:
    return b"here"


async def _listen(
    settings: Settings, server: Pop3Server, tls: ssl.SSLContext | None
) -> dict[str, str]:
    """Where it listens: name -> HOST:PORT."""
    wanted: dict[str, tuple[str, ssl.SSLContext | None]] = {"pop3": (settings.pop3, None)}
    if settings.pop3s and tls:
        wanted["pop3s"] = (settings.pop3s, tls)
    found = {}
    for name, (listen, context) in wanted.items():
        host, port = await server.start(*parse_listen(listen), context)
        found[name] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return found
