"""smtpd as a whole: what it listens on, alone and beside another process of its kind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.smtpd import app
from services.smtpd.app import serve
from services.smtpd.settings import Settings
from tests.nats_server import NatsServer
from tests.smtpd.client import connected
from tests.smtpd.listening import raw
from tests.smtpd.running import PATIENCE
from tubepost.admin import Health, create_app
from tubepost.errors import BadInput
from tubepost.nats_bus import NatsBus
from tubepost.runtime import Context


def context() -> Context:
    health = Health()
    return Context("smtpd", create_app(health, ""), health, asyncio.Event())


@contextlib.asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Where it listens, once it does; drained at the end."""
    here = context()
    task = asyncio.create_task(serve(settings, here))
    ready = asyncio.create_task(here.is_ready.wait())
    try:
        await asyncio.wait({task, ready}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        assert here.is_ready.is_set()
        yield here.addresses
    finally:
        ready.cancel()
        here.stopping.set()
        await asyncio.gather(task, return_exceptions=True)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def greeting(host: str, port: int) -> str:
    async with raw(port, host) as client:
        return await client.reply()


async def test_it_listens_where_it_is_told(nats_server: NatsServer, bus: NatsBus) -> None:
    settings = Settings(
        nats_url=nats_server.url,
        smtp="127.0.0.1:0",
        submission="[::1]:0",
        listeners="a=mx:[::1]:0 b=submission:127.0.0.1:0,proxy",
        hostname="mail.example",
    )
    async with served(settings) as found:
        assert list(found) == ["smtp", "submission", "a", "b"]
        for name, host in {"smtp": "127.0.0.1", "submission": "::1", "a": "::1"}.items():
            assert await greeting(host, port_of(found[name])) == "220 mail.example ESMTP"


async def test_submissions_without_a_certificate_does_not_start() -> None:
    settings = Settings(nats_url="nats://unused", submissions="127.0.0.1:0")
    with pytest.raises(
        BadInput, match=r"submissions .* set TUBEPOST_TLS_CERT and TUBEPOST_TLS_KEY"
    ):
        await serve(settings, context())


async def test_two_share_a_port_only_where_both_say_so(
    nats_server: NatsServer, bus: NatsBus
) -> None:
    first = Settings(nats_url=nats_server.url, smtp="127.0.0.1:0", reuse_port=True)
    async with served(first) as found:
        second = first.model_copy(update={"smtp": found["smtp"]})
        async with served(second) as too:
            assert too == found
            assert (await greeting("127.0.0.1", port_of(found["smtp"]))).startswith("220 ")
        with pytest.raises(OSError, match="in use"):
            async with served(second.model_copy(update={"reuse_port": False})):
                pass


async def test_all_listeners_end_at_once(
    nats_server: NatsServer, bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The goodbye on one does not wait for a mail on another, nor has each a time of its own."""
    monkeypatch.setattr(app, "GOODBYE", 6 * PATIENCE)
    settings = Settings(nats_url=nats_server.url, smtp="127.0.0.1:0", listeners="a=mx:127.0.0.1:0")
    async with contextlib.AsyncExitStack() as server:
        found = await server.enter_async_context(served(settings))
        async with (
            connected(port_of(found["smtp"])) as sends,
            connected(port_of(found["a"])) as waits,
        ):
            await sends.begin_mail("postmaster")
            ended = asyncio.create_task(server.aclose())
            assert await waits.reply() == "421 shutting down, try again (#4.3.2)"
            assert (await sends.ask("hi\r\n.")).startswith("250 ok ")
            assert await sends.reply() == "421 shutting down, try again (#4.3.2)"
            await asyncio.wait_for(ended, PATIENCE)
