"""Tells the other processes of smtpd what clients did here, and hears what they did there.

Over core NATS: no promise, no wait. Only what changed is told, in rounds; whoever begins, or was
cut off, asks for all of it. While the bus is away each process limits by what it knows
(docs/decisions/0011-rates.md).
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from itertools import islice

from services.smtpd.rates import Rates, Row, encoded, parse, prefix
from tubepost import metrics, subjects
from tubepost.errors import Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.ports import Clock
from tubepost.tasks import background

EVERY = 0.2
"""Seconds between two rounds; the first after a pause goes out at once."""

ROWS = 1000
"""Counts in a message: below 400 KB even with the longest names."""

MOST_MESSAGES = 50
"""Of an answer: a process that knows more tells what was touched last."""


class Gossip:
    """`wake` says that something was counted."""

    def __init__(self, bus: NatsBus, rates: Rates, clock: Clock) -> None:
        self.rates = rates
        self._bus, self._clock = bus, clock
        self._counted = asyncio.Event()
        self.news = asyncio.Condition()
        """Notified when counts of others have come in."""

    def wake(self) -> None:
        self._counted.set()

    async def run(self) -> None:
        """Until cancelled; then what was counted last is told."""
        name = self.rates.name
        await self._bus.answer(subjects.RATES, self._hear)
        await self._bus.answer(subjects.rates_for(name), self._hear)
        await self._bus.answer(subjects.RATES_WANTED, self._tell_ours)
        await self._ask()
        # From here on one of us, not the one that asks now, tells what those did that are gone.
        await self._bus.answer(subjects.RATES_WANTED, self._tell_all, group="smtpd")
        try:
            async with background(self._come_back()):
                while True:
                    await self._counted.wait()
                    self._counted.clear()
                    await self._round()
                    await asyncio.sleep(EVERY)
        finally:
            await self._round()

    async def _round(self) -> None:
        if self._bus.connected:
            await self._tell(subjects.RATES, self.rates.changed())
        else:
            self.rates.forget_changed()
        self.rates.expire(self._clock())

    async def _come_back(self) -> None:
        """Nobody heard us while we were cut off, and we heard nobody."""
        while True:
            await self._bus.reconnected()
            await self._tell(subjects.RATES, list(self.rates.rows(of_others=False)))
            await self._ask()

    async def _ask(self) -> None:
        with contextlib.suppress(Unavailable):  # asked again when the bus is back
            await self._bus.tell(subjects.RATES_WANTED, self.rates.name.encode())

    async def _tell_ours(self, _subject: str, data: bytes) -> None:
        await self._answer(data, of_others=False)

    async def _tell_all(self, _subject: str, data: bytes) -> None:
        await self._answer(data, of_others=True)

    async def _answer(self, data: bytes, *, of_others: bool) -> None:
        asker = data.decode("ascii", "replace")
        if asker.isalnum() and asker != self.rates.name:
            rows = list(islice(self.rates.rows(of_others=of_others), ROWS * MOST_MESSAGES))
            await self._tell(subjects.rates_for(asker), rows)

    async def _tell(self, subject: str, rows: Iterable[Row]) -> None:
        for batch in _batches(rows):
            with contextlib.suppress(Unavailable):  # the next count of that slot says it again
                await self._bus.tell(subject, encoded(self.rates.name, batch))
                metrics.RATE_MESSAGES.labels("told").inc()
            await asyncio.sleep(0)  # sessions come first

    async def _hear(self, _subject: str, data: bytes) -> None:
        if data.startswith(prefix(self.rates.name)):
            return
        rows = parse(data)
        if rows is None:
            return  # another release's: it limits by its own counts
        metrics.RATE_MESSAGES.labels("heard").inc()
        self.rates.merge(rows, self._clock())
        async with self.news:
            self.news.notify_all()


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while batch := list(islice(left, ROWS)):
        yield batch
