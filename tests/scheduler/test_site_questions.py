"""The scheduler asks for mail hosts behind the deliveries' back, and bears having no answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.scheduler.site_questions import AGAIN, KEPT, SiteQuestions
from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.destination_limits import parse
from tubepost.tasks import background

TABLE = parse(["mx .google.example:5"])


@contextlib.asynccontextmanager
async def asking(bus: MemoryBus, clock: FakeClock) -> AsyncIterator[SiteQuestions]:
    questions = SiteQuestions(bus, clock)
    questions.sites.apply(TABLE, 1, 1)
    async with background(questions.run()):
        yield questions


async def learnt(questions: SiteQuestions, name: str) -> None:
    """Once there was an answer, or none."""
    async with asyncio.timeout(10):
        while name in questions.sites._asked:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)


class Remote:
    """Says what is in `says`, and notes what it is asked."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.asked: list[str] = []

    async def answer(self, _subject: str, data: bytes) -> bytes:
        self.asked.append(data.decode())
        return self.says


async def test_what_remote_says_holds_for_an_hour(memory_bus: MemoryBus, clock: FakeClock) -> None:
    remote = Remote(b'{"hosts": ["mx.google.example"]}')
    await memory_bus.answer(subjects.SITE, remote.answer, group="remote")
    async with asking(memory_bus, clock) as questions:
        assert questions.sites.of("far.example", clock()) is None
        await learnt(questions, "far.example")
        site = questions.sites.of("far.example", clock())
        assert site is not None
        assert site.name == ".google.example"
        clock.advance(KEPT - 1)
        assert questions.sites.of("far.example", clock()) is site
        assert remote.asked == ["far.example"]
        clock.advance(2)
        remote.says = b'{"hosts": ["mx.other.example"]}'
        assert questions.sites.of("far.example", clock()) is site
        await learnt(questions, "far.example")
        assert questions.sites.of("far.example", clock()) is None


@pytest.mark.parametrize("says", [b'{"hosts": null}', b"nonsense", b"[]", b'{"hosts": 5}', b"{}"])
async def test_what_is_no_answer_is_asked_again_a_minute_later(
    memory_bus: MemoryBus, clock: FakeClock, says: bytes
) -> None:
    remote = Remote(says)
    await memory_bus.answer(subjects.SITE, remote.answer, group="remote")
    async with asking(memory_bus, clock) as questions:
        for times in (1, 2):
            questions.sites.of("far.example", clock())
            await learnt(questions, "far.example")
            assert questions.sites.of("far.example", clock()) is None
            assert remote.asked == ["far.example"] * times
            clock.advance(AGAIN + 1)


async def test_without_a_remote_or_a_bus_nothing_is_known_and_nothing_breaks(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    memory_bus.away = True
    async with asking(memory_bus, clock) as questions:
        questions.sites.of("far.example", clock())
        await learnt(questions, "far.example")
        assert questions.sites.of("far.example", clock()) is None
