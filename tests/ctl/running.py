"""The command against popauth as it runs: a real bus, real HTTP, the command in a thread."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog.testing

from ctl import main
from services.popauth.app import serve
from services.popauth.settings import Settings
from tests.nats_server import NatsServer
from tubepost.admin import Health, create_app
from tubepost.runtime import Context, admin_server

PATIENCE = 10.0


class Said(NamedTuple):
    """What a command ended with."""

    code: int
    lines: list[str]
    error: str


class Command:
    """`tubepost ...` on a data folder. An object because a test runs many."""

    def __init__(
        self, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.data, self._monkeypatch, self._capsys = data, monkeypatch, capsys

    async def __call__(self, *args: str, stdin: str = "") -> Said:
        argv = ["tubepost", *args, "--data", str(self.data)]
        self._monkeypatch.setattr("sys.argv", argv)
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capsys.readouterr()
        code = await asyncio.to_thread(main.main)
        said = self._capsys.readouterr()
        return Said(code, said.out.splitlines(), said.err)

    async def ok(self, *args: str, stdin: str = "") -> list[str]:
        """The lines of one that has to succeed."""
        said = await self(*args, stdin=stdin)
        assert said.code == 0, (args, said)
        return said.lines

    async def json(self, *args: str, stdin: str = "") -> Any:
        """What --json tells."""
        return json.loads("\n".join(await self.ok(*args, "--json", stdin=stdin)))

    async def refused(self, *args: str, stdin: str = "", code: int = 1) -> str:
        """The one line of one that has to fail, and does nothing else."""
        said = await self(*args, stdin=stdin)
        assert (said.code, said.lines) == (code, []), (args, said)
        [line] = said.error.splitlines()
        assert line.startswith("tubepost: ")
        return line.removeprefix("tubepost: ")


@contextlib.asynccontextmanager
async def popauth(nats: NatsServer, folder: Path) -> AsyncIterator[str]:
    """popauth on the bus that is there; where its /v1 is. Its token is `secret`."""
    settings = Settings(
        nats_url=nats.url, hostname="mail.example", pop3="127.0.0.1:0", mail_root=folder
    )
    health = Health()
    context = Context("popauth", create_app(health, "secret"), health, asyncio.Event())
    # the log would stand among the lines of the command: both go to stdout, in one process here
    with structlog.testing.capture_logs():
        async with _serving(context, settings) as address:
            yield address


@contextlib.asynccontextmanager
async def _serving(context: Context, settings: Settings) -> AsyncIterator[str]:
    async with admin_server(context.app, "127.0.0.1:0") as address:
        service = asyncio.create_task(serve(settings, context))
        try:
            await asyncio.wait_for(context.is_ready.wait(), PATIENCE)
            yield address
        finally:
            context.stopping.set()
            await asyncio.wait_for(service, PATIENCE)
