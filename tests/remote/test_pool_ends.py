"""Idle sessions end: after their time, at the stop, and with no socket left behind."""

import asyncio
import contextlib
import os
from dataclasses import replace

import pytest
import uvloop

from services.remote import pool as pools
from services.remote.connection import Session, TryNext
from services.remote.mx import Host
from services.remote.pool import Pool
from tests.remote.site import (
    BODY,
    ENVELOPE,
    IP,
    KEEPING,
    NO_MORE,
    Site,
    count_of,
    delivered,
    mail,
    pooled,
    quits,
)
from tests.remote.smtp_peer import (
    TERMS,
    listening,
)
from tubepost.outcome import Delivered


async def test_a_session_idle_for_too_long_gets_quit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "SWEEP", 0.01)
    site = Site()
    async with pooled(site, replace(KEEPING, idle=0.05)) as (pool, host):
        await delivered(pool, host)
        await site.until_open(0)
        assert pool.idle == 0
    assert quits(site) == [True]


async def test_more_than_are_kept_get_quit() -> None:
    async with pooled(site := Site()) as (pool, host):
        pool._idle._most_alike = 2
        await asyncio.gather(*(delivered(pool, host) for _ in range(5)))
        await site.until_open(2)
        assert pool.idle == 2
        assert sum(quits(site)) == 3


async def test_at_the_stop_idle_sessions_end_and_none_is_kept() -> None:
    stopping = asyncio.Event()
    async with listening(site := Site()) as port:
        pool, host = Pool(lambda: KEEPING), Host(IP, IP, port)
        async with pool.open_until(stopping):
            await asyncio.gather(delivered(pool, host), delivered(pool, host))
            site.peers[0].answers["."] = b""  # its next mail is under way at the stop
            site.peers[1].answers["."] = b""
            under_way = asyncio.create_task(delivered(pool, host))
            await site.until_mails(3)
            busy = site.bodies.index(2)
            stopping.set()
            await site.until_open(1)
            assert pool.idle == 0
            site.writers[busy].write(b"250 taken\r\n")
            await under_way
            await site.until_open(0)
    assert quits(site) == [True, True]


async def test_a_cancelled_delivery_does_not_give_its_session_back() -> None:
    async with pooled(site := Site()) as (pool, host):
        await delivered(pool, host)
        site.peers[0].answers["DATA"] = b""
        task = asyncio.create_task(delivered(pool, host))
        await site.until(lambda: count_of(site.peers[0], "DATA") == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.idle == 0
        await site.until_open(0)
        assert site.bodies == [1]


async def test_no_socket_is_left_behind() -> None:
    before = _sockets()
    fates: list[dict[str, bytes | None]] = [*NO_MORE, {".": None}, {"RCPT": None}, {}]
    async with pooled(Site(fates), replace(KEEPING, mails=3)) as (pool, host):
        for _ in range(6):
            await asyncio.gather(*(mail(pool, host) for _ in range(4)))
    del pool
    assert _sockets() == before


def _sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def test_the_same_on_uvloop() -> None:
    """Its transports and its timers are not asyncio's."""

    async def run() -> Site:
        async with pooled(site := Site(), replace(KEEPING, mails=2)) as (pool, host):
            for _ in range(3):
                await delivered(pool, host)
        return site

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        site = runner.run(run())
    assert site.bodies == [2, 1]
    assert quits(site) == [True, True]


async def test_a_clock_that_goes_off_early_ends_nothing() -> None:
    async with listening(Site()) as port:
        session = await Session.open(Host(IP, IP, port), TERMS)
        assert isinstance(session, Session)
        session._link._time_up()  # idle
        under_way = asyncio.create_task(session.deliver(ENVELOPE, BODY))
        await asyncio.sleep(0)
        session._link._time_up()  # within a command
        result = await under_way
        assert not isinstance(result, TryNext)
        assert isinstance(result["a@example.net"], Delivered)
        session.close()
