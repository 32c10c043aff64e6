"""Two smtpd over one nats-server: a rate holds for their sum, however they come and go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from services.smtpd.facts import Client
from tests.fakes import FakeClock
from tests.nats_server import NatsServer
from tests.smtpd.client import connected
from tests.smtpd.running import PATIENCE, Smtpd, running
from tubepost import subjects
from tubepost.nats_bus import NatsBus

ME = "127.0.0.1"
TOO_MANY = "450 too many mails, try again later (#4.7.1)"


@contextlib.asynccontextmanager
async def another(nats_server: NatsServer, clock: FakeClock) -> AsyncIterator[Smtpd]:
    """One more smtpd, with a connection of its own."""
    bus = await nats_server.connect()
    try:
        async with running(bus, clock=clock) as smtpd:
            yield smtpd
    finally:
        await bus.close()


def counted(smtpd: Smtpd, kind: str = "mails", who: str = ME) -> int:
    limits = smtpd.meter.limits
    return smtpd.meter.rates.count(kind, limits[kind], who, smtpd.clock()) if limits else 0


async def knows(smtpd: Smtpd, count: int, kind: str = "mails") -> None:
    """Waits until so many are known there."""
    await heard(smtpd, lambda: counted(smtpd, kind) == count)


async def heard(smtpd: Smtpd, what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE), smtpd.gossip.news:
        await smtpd.gossip.news.wait_for(what)


async def in_force(smtpd: Smtpd, kinds: set[str]) -> None:
    """Waits until the setting has come there."""
    news = asyncio.Event()
    smtpd.control.mirror.listeners.append(news.set)
    async with asyncio.timeout(PATIENCE):
        while set(smtpd.meter.limits) != kinds:
            await news.wait()
            news.clear()


async def begin_mails(smtpd: Smtpd, *replies: str) -> None:
    """MAIL, so often, with these replies."""
    async with connected(smtpd.ports["smtp"]) as client:
        for reply in replies:
            assert await client.ask("MAIL FROM:<joe@example.org>") == reply
            await client.ask("RSET")


async def test_a_limit_holds_for_the_sum_of_all_processes(
    bus: NatsBus, nats_server: NatsServer, clock: FakeClock
) -> None:
    async with running(bus, clock=clock) as one, another(nats_server, clock) as two:
        await one.set(smtprates="mails:5/h")
        await in_force(two, {"mails"})
        await begin_mails(one, "250 ok", "250 ok", "250 ok")
        await knows(two, 3)
        await begin_mails(two, "250 ok", "250 ok", TOO_MANY)
        await knows(one, 5)
        await begin_mails(one, TOO_MANY)
        clock.advance(4000)
        await begin_mails(one, "250 ok")


async def test_a_process_that_begins_learns_what_the_others_counted(
    bus: NatsBus, nats_server: NatsServer, clock: FakeClock
) -> None:
    """Also what was counted by one that is gone: itself, before it was started again."""
    async with running(bus, clock=clock) as stays:
        await stays.set(smtprates="mails:5/h")
        async with another(nats_server, clock) as gone:
            await begin_mails(gone, "250 ok", "250 ok")
            await knows(stays, 2)
        await begin_mails(stays, "250 ok")
        async with another(nats_server, clock) as begins:
            await knows(begins, 3)
            await begin_mails(begins, "250 ok", "250 ok", TOO_MANY)


async def test_a_process_without_a_bus_limits_by_its_own_counts_and_tells_them_later(
    bus: NatsBus, nats_server: NatsServer, clock: FakeClock
) -> None:
    async with running(bus, clock=clock) as one, another(nats_server, clock) as two:
        await one.set(smtprates="mails:3/h")
        await in_force(two, {"mails"})
        nats_server.kill()
        async with asyncio.timeout(PATIENCE):
            while one.bus.connected or two.bus.connected:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.01)
        await begin_mails(one, "250 ok", "250 ok", "250 ok", TOO_MANY)
        await begin_mails(two, "250 ok")
        nats_server.start()
        await knows(one, 4)
        await knows(two, 4)


async def test_nothing_is_told_while_no_rate_is_set(
    bus: NatsBus, nats_server: NatsServer, clock: FakeClock
) -> None:
    """The first thing heard of it is what was counted once there was a rate."""
    told: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(_subject: str, data: bytes) -> None:
        told.put_nowait(data)

    await bus.answer(subjects.RATES, hear)
    async with running(bus, clock=clock) as smtpd:
        await begin_mails(smtpd, "250 ok", "250 ok")
        assert len(smtpd.meter.rates) == 0
        await smtpd.set(smtprates="mails:5/h")
        await begin_mails(smtpd, "250 ok")
        async with asyncio.timeout(PATIENCE):
            assert b'"mails",3600,"127.0.0.1"' in await told.get()
        assert counted(smtpd) == 1


async def test_a_process_that_does_not_understand_goes_on(
    bus: NatsBus, nats_server: NatsServer, clock: FakeClock
) -> None:
    async with running(bus, clock=clock) as one, another(nats_server, clock) as two:
        await one.set(smtprates="mails:5/h")
        await in_force(two, {"mails"})
        for subject in (subjects.RATES, subjects.RATES_WANTED):
            for data in (b"", b"a b", b"\xff\xff", b"x [[1]]", b"> *"):
                await bus.tell(subject, data)
        await begin_mails(one, "250 ok")
        await knows(two, 1)


async def test_more_than_fits_into_a_message_is_told_in_several(
    bus: NatsBus, nats_server: NatsServer, clock: FakeClock
) -> None:
    async with running(bus, clock=clock) as one:
        await one.set(smtprates="mails:5/h")
        for number in range(2500):
            one.meter.mail_began(Client(f"198.51.{number // 250}.{number % 250}"))
        async with another(nats_server, clock) as two:
            await heard(two, lambda: len(two.meter.rates) == 2500)
        assert counted(one, who="198.51.9.249") == 1
