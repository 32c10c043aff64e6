"""Single mails at a steady pace, each followed from its 250 to where it arrives.

Must not care what else the platform has to do meanwhile.
"""

import asyncio
import math
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import BenchError

PATIENCE = 60.0
"""Seconds the last mails have to arrive; what has not by then counts as late, with this delay."""

REPLY_WITHIN = 60.0
POLL = 0.05

Arrivals = Callable[[], dict[str, float]]
"""Marker -> when that mail arrived, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`count` mails, one every `every` seconds, `size` octets each."""

    count: int
    every: float
    size: int = 2048


@dataclass(slots=True)
class Delays:
    """Seconds. `accept`: from connecting to the 250 after DATA; `arrive`: from there to the end.

    `late`: mails that had not arrived at the end. `refused`: mails without a 250.
    """

    accept: list[float] = field(default_factory=list)
    arrive: list[float] = field(default_factory=list)
    late: int = 0
    refused: list[str] = field(default_factory=list)

    def accept_at(self, share: float) -> float:
        return percentile(self.accept, share)

    def arrive_at(self, share: float) -> float:
        return percentile(self.arrive, share)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all values do not exceed; NaN where there is none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan


def follow(port: int, sender: str, recipient: str, pace: Pace, arrivals: Arrivals) -> Delays:
    """Sends the mails to a platform on `port` and waits for them."""
    return asyncio.run(_follow(port, sender, recipient, pace, arrivals))


async def _follow(port: int, sender: str, recipient: str, pace: Pace, arrivals: Arrivals) -> Delays:
    delays = Delays()
    sent: dict[str, float] = {}

    async def one(marker: str) -> None:
        began = time.time()
        try:
            async with asyncio.timeout(REPLY_WITHIN):
                await submit(port, sender, [recipient], text(marker, pace.size))
        except (OSError, EOFError, TimeoutError, BenchError) as error:
            delays.refused.append(f"{error!r}")
            return
        sent[marker] = time.time()
        delays.accept.append(sent[marker] - began)

    loop, run = asyncio.get_running_loop(), secrets.token_hex(4)
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(pace.count):
            await asyncio.sleep(began + number * pace.every - loop.time())
            group.create_task(one(f"{run}-{number}"))
    arrived = await _arrived(set(sent), arrivals)
    # The receiver's clock is this one, in steps of some milliseconds for files.
    delays.arrive = [max(arrived[m] - at, 0.0) for m, at in sent.items() if m in arrived]
    delays.late = len(sent) - len(delays.arrive)
    delays.arrive += [PATIENCE] * delays.late
    return delays


async def _arrived(markers: set[str], arrivals: Arrivals) -> dict[str, float]:
    give_up = time.monotonic() + PATIENCE
    found = arrivals()
    while not markers <= found.keys() and time.monotonic() < give_up:
        await asyncio.sleep(POLL)
        found = arrivals()
    return found


def text(marker: str, size: int) -> bytes:
    """A mail that the sinks and `in_maildir` know again."""
    head = f"From: <lone@lone.example>\r\nSubject: lone\r\nX-Bench: {marker}\r\n\r\n".encode()
    line = b"x" * 70 + b"\r\n"
    return head + line * max((size - len(head)) // len(line), 1)


async def submit(port: int, sender: str, recipients: Sequence[str], mail: bytes) -> None:
    """One mail in a session of its own. Raises BenchError for a reply that is not expected."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await _expect(reader, b"2")
        for line, reply in (
            ("EHLO client.example", b"2"),
            (f"MAIL FROM:<{sender}>", b"2"),
            *((f"RCPT TO:<{to}>", b"2") for to in recipients),
            ("DATA", b"3"),
        ):
            writer.write(line.encode() + b"\r\n")
            await _expect(reader, reply)
        writer.write(mail + b".\r\n")
        await _expect(reader, b"2")
        writer.write(b"QUIT\r\n")
    finally:
        writer.close()


async def _expect(reader: asyncio.StreamReader, first: bytes) -> None:
    while (line := await reader.readline())[3:4] == b"-":
        pass
    if not line.startswith(first):
        raise BenchError(f"smtpd said {line!r}")


def in_maildir(folder: Callable[[], Path | None]) -> Arrivals:
    """When each marked mail came into a Maildir's `new`: its inode changed last when it was moved.

    A file is read once.
    """
    known: dict[str, float] = {}
    seen: set[str] = set()

    def arrivals() -> dict[str, float]:
        new = folder()
        for name in os.listdir(new) if new else ():
            if new and name not in seen:
                seen.add(name)
                known[_marker(new / name)] = (new / name).stat().st_ctime
        return known

    return arrivals


def _marker(file: Path) -> str:
    with file.open("rb") as mail:
        head = mail.read(2000)
    return head.partition(b"X-Bench: ")[2].partition(b"\n")[0].strip().decode()
