"""One size of the queue beside an empty one: rates, delays, questions, restarts, memory."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import lone, questions, records
from bench.fill import fill
from bench.load import Load, Result, put
from bench.peers import DOMAIN
from bench.platform import Platform
from bench.restart import MAILBOX, Restart, restart
from bench.sink import Sink

SMALL = 4096
BIG = 512
BIG_FROM = 500_000
"""From so many mails on their bodies have BIG octets, so that a common disk holds them."""

WAIT = (4 * 3600.0, 12 * 3600.0)
"""Seconds until the queued mails are due: none while it is measured."""

PACED = "paced"
DISTURBED = "disturbed"
SERVICES = ("scheduler", "nats-server")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `mails` a load, `rounds` of load and paced mails on each platform."""

    command: str
    mails: int
    rounds: int
    pace: lone.Pace


@dataclass(slots=True)
class Side:
    """What was measured on one platform."""

    loads: list[Result] = field(default_factory=list)
    paced: list[lone.Delays] = field(default_factory=list)
    disturbed: list[lone.Delays] = field(default_factory=list)
    asked: questions.Seconds = field(default_factory=dict)
    restarts: dict[str, Restart] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    """Octets by moment and service: "loaded scheduler", "worked nats-server"."""


@dataclass(slots=True)
class Measured:
    """`count` queued mails of `size` octets against none."""

    count: int
    size: int
    fill_seconds: float
    first_start: float
    empty: Side
    full: Side

    @property
    def ratios(self) -> list[float]:
        """Delivered rate beside the queue over that beside none, round by round."""
        pairs = zip(self.full.loads, self.empty.loads, strict=True)
        return [full.delivered_rate / empty.delivered_rate for full, empty in pairs]

    def as_json(self) -> dict[str, Any]:
        """Every raw number."""
        return json.loads(json.dumps(asdict(self) | {"ratios": self.ratios}))  # type: ignore[no-any-return]


def body_size(count: int) -> int:
    """Octets of the bodies in a queue of `count` mails."""
    return BIG if count >= BIG_FROM else SMALL


def measure(folder: Path, count: int, plan: Plan) -> Measured:
    """Both platforms run all the time, and take turns. Raises BenchError."""
    names = [f"load{number}" for number in range(plan.rounds)]
    boxes = [*names, PACED, DISTURBED, MAILBOX.mailbox]
    empty = Platform(folder / "empty", boxes, plan.command)
    full = Platform(folder / "full", boxes, plan.command)
    with Sink(folder / "receipts") as sink:
        try:
            for platform in (empty, full):
                platform.start()
                platform.set("smtproutes", f":127.0.0.1:{sink.port}")
                platform.warm_up()
            found = _filled(full, count)
            _rounds(found, empty, full, plan)
            for platform, side in ((empty, found.empty), (full, found.full)):
                _one_by_one(platform, side, plan)
            found.full.asked |= questions.flush(full, _flushed(count))
        finally:
            empty.stop()
            full.stop()
    return found


def _filled(full: Platform, count: int) -> Measured:
    full.stop()
    seconds = fill(full, count, _kind(count))
    began = time.monotonic()
    full.launch()
    full.queued()
    started = time.monotonic() - began
    _say(f"{count:,} queued in {seconds:.0f} s, started in {started:.1f} s")
    return Measured(count, body_size(count), seconds, started, Side(), Side())


def _kind(count: int) -> records.Kind:
    return records.Kind(size=body_size(count), wait=WAIT)


def _flushed(count: int) -> int:
    """How many of the queued mails go to the domain that is flushed: the same draw again."""
    wanted = records.domain_name(questions.FLUSHED_RANK)
    made = records.make(count, _kind(count), now=0.0, shards=1, seed=count)
    return sum(record.destination == wanted for _, record in made)


def _rounds(found: Measured, empty: Platform, full: Platform, plan: Plan) -> None:
    """Turn by turn, so that what else the machine does meets both alike."""
    pairs = [("empty", empty, found.empty), ("full", full, found.full)]
    for platform, side in ((empty, found.empty), (full, found.full)):
        _weigh(platform, side, "loaded")
    for number in range(plan.rounds):
        for name, platform, side in pairs if number % 2 == 0 else reversed(pairs):
            load = Load(f"{found.count:,} queued", f"load{number}")
            side.loads.append(put(platform, load, plan.mails))
            side.paced.append(_paced(platform, PACED, plan))
            _say(_line(f"round {number + 1}, {name}", side))
    for platform, side in ((empty, found.empty), (full, found.full)):
        _weigh(platform, side, "worked")


def _one_by_one(platform: Platform, side: Side, plan: Plan) -> None:
    side.asked = questions.ask(platform, filters=platform.queued() > 0)
    with questions.disturbing(platform):
        side.disturbed.append(_paced(platform, DISTURBED, plan))
    for name, kill in (("restart", False), ("after kill -9", True)):
        side.restarts[name] = restart(platform, kill=kill)
        _weigh(platform, side, name)


def _paced(platform: Platform, mailbox: str, plan: Plan) -> lone.Delays:
    arrivals = lone.in_maildir(lambda: platform.maildir(mailbox))
    to = f"{mailbox}@{DOMAIN}"
    return lone.follow(platform.port, "paced@client.example", to, plan.pace, arrivals)


def _weigh(platform: Platform, side: Side, when: str) -> None:
    for service in SERVICES:
        side.memory[f"{when} {service}"] = platform.memory(service)


def _line(title: str, side: Side) -> str:
    load, paced = side.loads[-1], side.paced[-1]
    rates = f"{load.accepted_rate:.0f} accepted/s, {load.delivered_rate:.0f} delivered/s"
    p99 = f"{paced.accept_at(0.99) * 1e3:.0f} and {paced.arrive_at(0.99) * 1e3:.0f} ms"
    return f"{title}: {rates}; paced mails: p99 of accept and delivery {p99}"


def _say(text: str) -> None:
    print(text, flush=True)


def sizes(text: str) -> Sequence[int]:
    """`25000,100000` as numbers. Raises ValueError."""
    return [int(word) for word in text.split(",") if word]
