"""Limits of sessions: of the process and of one client; a burst is answered, not suffered."""

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.smtpd.client import connected
from tests.smtpd.running import PATIENCE, Smtpd

FULL = b"421 too many connections, try again later (#4.3.2)\r\n"
MANY = b"421 too many connections, try again later (#4.7.0)\r\n"
GREETING = b"220 mail.example ESMTP\r\n"


@contextlib.asynccontextmanager
async def come(
    smtpd: Smtpd, ip: str = "127.0.0.1", listener: str = "smtp"
) -> AsyncIterator[tuple[bytes, asyncio.StreamReader]]:
    """A client at that address, with the first line it hears."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", smtpd.ports[listener], local_addr=(ip, 0)
    )
    try:
        async with asyncio.timeout(PATIENCE):
            yield await reader.readline(), reader
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def left(smtpd: Smtpd, sessions: int) -> None:
    """Waits until so many sessions are there."""
    async with asyncio.timeout(PATIENCE):
        while smtpd.meter.sessions != sessions:  # noqa: ASYNC110 - a session's end tells nobody
            await asyncio.sleep(0.01)


async def test_a_full_process_says_so_and_is_not_ready(smtpd: Smtpd) -> None:
    """All listeners together count, whoever comes."""
    await smtpd.set(concurrencyincoming="2", tcprules='127.0.0.2:allow,RELAYCLIENT=""')
    assert smtpd.meter.full() == ""
    async with come(smtpd) as one, come(smtpd, "127.0.0.2", "submission") as two:
        assert (one[0], two[0]) == (GREETING, GREETING)
        assert smtpd.meter.full() == "2 sessions, concurrencyincoming allows 2"
        for ip in ("127.0.0.2", "127.0.0.3"):
            async with come(smtpd, ip) as (reply, rest):
                assert reply == FULL
                assert await rest.read() == b""
        assert smtpd.meter.sessions == 2
    await left(smtpd, 0)
    assert smtpd.meter.full() == ""
    async with come(smtpd) as again:
        assert again[0] == GREETING


async def test_a_client_has_so_many_sessions_and_no_more(smtpd: Smtpd) -> None:
    await smtpd.set(concurrencyclient="1")
    async with come(smtpd) as one, come(smtpd) as two, come(smtpd, "127.0.0.9") as other:
        assert [reply for reply, _ in (one, two, other)] == [GREETING, MANY, GREETING]
        assert await two[1].read() == b""
    await left(smtpd, 0)
    async with come(smtpd) as again:
        assert again[0] == GREETING


@pytest.mark.parametrize("variable", ['RELAYCLIENT=""', 'SMTPRATES="off"'])
async def test_a_client_that_a_rule_trusts_has_as_many_as_it_wants(
    smtpd: Smtpd, variable: str
) -> None:
    rules = (f"127.0.0.2:allow,{variable}", "127.0.0.3:deny")
    await smtpd.set(concurrencyclient="1", smtprates="connections:1/h", tcprules=rules)
    async with come(smtpd, "127.0.0.2") as one, come(smtpd, "127.0.0.2") as two:
        assert (one[0], two[0]) == (GREETING, GREETING)
    async with come(smtpd, "127.0.0.3") as denied:
        assert denied[0].startswith(b"554 ")


async def test_zero_is_no_limit(smtpd: Smtpd) -> None:
    await smtpd.set(concurrencyclient="0", concurrencyincoming="0")
    assert smtpd.meter.full() == ""
    async with come(smtpd) as one, come(smtpd) as two:
        assert (one[0], two[0]) == (GREETING, GREETING)


@pytest.mark.parametrize("command", ["QUIT", "RSET", "rset\0", "STARTTLS"])
async def test_a_session_that_ended_counts_no_more(smtpd: Smtpd, command: str) -> None:
    async with connected(smtpd.ports["smtp"]) as client, connected(smtpd.ports["smtp"]):
        assert smtpd.meter.sessions == 2
        await client.ask(command)
    await left(smtpd, 0)


async def test_a_session_under_tls_counts_once(smtpd: Smtpd, client_tls: ssl.SSLContext) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("STARTTLS")
        await client.begin_tls(client_tls)
        await client.ask("NOOP")
        assert smtpd.meter.sessions == 1
    await left(smtpd, 0)


async def test_a_burst_is_answered_to_the_last(smtpd: Smtpd) -> None:
    """Hundreds at once: as many as may are greeted, the others told to come back, none is left."""
    await smtpd.set(concurrencyincoming="20", concurrencyclient="0")
    done = asyncio.Event()
    heard: list[bytes] = []

    async def one() -> None:
        async with come(smtpd) as (reply, _):
            heard.append(reply)
            if len(heard) == 400:
                done.set()
            await done.wait()

    await asyncio.gather(*(one() for _ in range(400)))
    assert sorted(heard) == [GREETING] * 20 + [FULL] * 380
    await left(smtpd, 0)
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        assert (await client.ask("hi\r\n.")).startswith("250 ok ")


async def test_without_a_descriptor_left_it_goes_on_once_there_is_one(smtpd: Smtpd) -> None:
    """Who comes then waits for the listener; who is in is served meanwhile."""
    loop, address = asyncio.get_running_loop(), ("127.0.0.1", smtpd.ports["smtp"])
    with socket.socket() as comes:
        comes.setblocking(False)
        async with connected(smtpd.ports["smtp"]) as inside, asyncio.timeout(PATIENCE):
            with no_files_left():
                await loop.sock_connect(comes, address)
                assert await inside.ask("NOOP") == "250 ok"
                assert await inside.ask("RSET") == "250 flushed"
            assert await loop.sock_recv(comes, 100) == GREETING


@contextlib.contextmanager
def no_files_left() -> Iterator[None]:
    """No descriptor can be opened in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    filled = []
    try:
        with contextlib.suppress(OSError):
            while True:
                filled.append(os.dup(0))
        yield
    finally:
        for number in filled:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
