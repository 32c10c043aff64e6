"""Who is killed when: a plan made from a seed, and what carries it out.

Half of the kills are aimed: they wait for the moment at which the victim has most to lose, and
come some milliseconds after it.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos.processes import Process
from tests.chaos.pulse import ACCEPTED, ARRIVED, DOT_SENT, Pulse
from tests.chaos.servers import Servers

NATS = "nats"
AIMS: Mapping[str, Sequence[str]] = {
    NATS: (DOT_SENT, ACCEPTED, ARRIVED),
    "scheduler": (ACCEPTED, ARRIVED),
    "remote": (ARRIVED,),
    "local": (ACCEPTED,),
    "smtpd": (DOT_SENT,),
}
"""By victim, the moments worth aiming at."""

LAST_AIM = 0.03
"""Seconds an aimed kill comes after its moment, at most."""

DOWN = (0.2, 1.5)
"""Seconds a victim stays dead."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A kill to come, `pause` seconds after the one before. `number`: which of the victims."""

    pause: float
    victim: str
    number: int
    moment: str
    delay: float
    down: float


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill that was done: seconds since 1970, the name of the process, when it was back."""

    name: str
    at: float
    back: float


def plan(seed: int, gap: float, victims: Sequence[str]) -> Iterator[Strike]:
    """Kills without end, `gap` seconds apart on average."""
    rnd = Random(f"kills {seed}")
    while True:
        victim = rnd.choice(victims)
        moment = rnd.choice(AIMS[victim]) if rnd.random() < 0.5 else ""
        yield Strike(
            pause=gap * rnd.uniform(0.4, 1.6),
            victim=victim,
            number=rnd.randrange(1000),
            moment=moment,
            delay=rnd.uniform(0, LAST_AIM) if moment else 0.0,
            down=rnd.uniform(*DOWN),
        )


class Killer:
    """Carries a plan out. Victims of a kind are taken in turns of the plan's numbers."""

    def __init__(
        self,
        servers: Servers,
        services: Mapping[str, Sequence[Process]],
        pulse: Pulse,
        *,
        all_servers: bool,
    ) -> None:
        self._servers, self._pulse, self._all = servers, pulse, all_servers
        self._victims = {**services, NATS: servers.processes}
        self._running: set[asyncio.Task[None]] = set()
        self._nats_is_struck = False
        self._down: set[str] = set()
        self.kills: list[Kill] = []
        self.passed_over = 0

    async def run(self, strikes: Iterator[Strike], seconds: float) -> None:
        """Kills for so long; returns when all victims are started again."""
        end = time.monotonic() + seconds
        for strike in strikes:
            await asyncio.sleep(min(strike.pause, max(0.0, end - time.monotonic())))
            if time.monotonic() >= end:
                break
            task = asyncio.create_task(self._strike(strike))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await asyncio.gather(*self._running)

    async def _strike(self, strike: Strike) -> None:
        victims = self._chosen(strike)
        if not victims:
            self.passed_over += 1
            return
        nats = strike.victim == NATS
        self._nats_is_struck |= nats
        try:
            if strike.moment:
                await self._pulse.next(strike.moment)
                await asyncio.sleep(strike.delay)
            await asyncio.gather(*(self._kill(victim, strike.down) for victim in victims))
            if nats:
                await self._servers.healthy()
        finally:
            self._nats_is_struck &= not nats

    def _chosen(self, strike: Strike) -> Sequence[Process]:
        """Nobody where the victim is down already. Of a cluster, one after another or all."""
        group = self._victims[strike.victim]
        if strike.victim == NATS and self._nats_is_struck:
            return ()
        if strike.victim == NATS and self._all:
            return group
        victim = group[strike.number % len(group)]
        return (victim,) if victim.running else ()

    async def _kill(self, victim: Process, down: float) -> None:
        if victim.name in self._down or not victim.running:
            return  # another kill came first, while this one waited for its moment
        self._down.add(victim.name)
        at = time.time()
        await victim.kill()
        await asyncio.sleep(down)
        await victim.start()
        self._down.remove(victim.name)
        self.kills.append(Kill(victim.name, at, time.time()))


def by_kind(kills: Sequence[Kill]) -> dict[str, int]:
    """How many, by the name without its number."""
    names = sorted(kill.name.rpartition("-")[0] for kill in kills)
    return {name: len(list(group)) for name, group in itertools.groupby(names)}
