"""A host for tests of the pool: what came over which connection, and misbehaviour on purpose."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from services.remote.connection import TryNext
from services.remote.idle import Limits
from services.remote.mx import Host
from services.remote.pool import Pool
from services.remote.terms import Terms
from tests.remote.smtp_peer import GREETING, PIPELINING, TERMS, MemoryPeer, listening
from tubepost.outcome import Delivered, Outcome
from tubepost.record import Envelope

IP = "127.0.0.1"
ENVELOPE = Envelope("s@example.org", ("a@example.net",))
BODY = b"Subject: x\r\n\r\nhello\r\n"
KEEPING = Limits(idle=60, life=300, mails=100)
NO_MORE: list[dict[str, bytes | None]] = [
    {"MAIL": None},
    {"MAIL": b"421 4.7.0 too many mails\r\n"},
    {"MAIL": b"452 4.3.2 too many mails\r\n", "RCPT": b"503 no\r\n", "DATA": b"503 no\r\n"},
    {"MAIL": b"550 5.7.1 too many mails\r\n", "RCPT": b"503 no\r\n", "DATA": b"503 no\r\n"},
    {"MAIL": b"hello?\r\n"},
]
"""Ways for a used session to take no more mails; see Site.answers."""


@dataclass
class Site:
    """A host that has a peer in memory for each connection, and may change what one says.

    `answers`: of connection number n from its second mail on. `None` as an answer: hang up.
    """

    answers: list[dict[str, bytes | None]] = field(default_factory=list)
    ehlo: bytes = PIPELINING
    peers: list[MemoryPeer] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    open: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.peers)
        self.peers.append(peer := MemoryPeer(ehlo=self.ehlo))
        self.writers.append(writer)
        changed = dict(self.answers[number]) if number < len(self.answers) else {}
        await self._came(1)
        try:
            writer.write(GREETING)
            while data := await reader.read(65536):
                said = peer.take(data)
                if self._hangs_up(peer, changed):
                    return
                writer.write(said)
                await self._came(0)
                if peer.bodies:
                    peer.answers |= {verb: said or b"" for verb, said in changed.items()}
        finally:
            await self._came(-1)

    def _hangs_up(self, peer: MemoryPeer, changed: Mapping[str, bytes | None]) -> bool:
        """Whether the second mail has come as far as a verb that is not answered any more."""
        verbs = [verb for verb, said in changed.items() if said is None]
        if "." in verbs:
            return len(peer.bodies) > 1
        return any(count_of(peer, verb) > 1 for verb in verbs)

    async def _came(self, change: int) -> None:
        async with self.news:
            self.open += change
            self.news.notify_all()

    async def until(self, so: Callable[[], bool]) -> None:
        """Waits for something that octets from a client, or its coming and going, make true."""
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(so)

    async def until_open(self, count: int) -> None:
        await self.until(lambda: self.open == count)

    async def until_mails(self, count: int) -> None:
        await self.until(lambda: sum(self.bodies) == count)

    @property
    def bodies(self) -> list[int]:
        """How many mails came over each connection."""
        return [len(peer.bodies) for peer in self.peers]


@contextlib.asynccontextmanager
async def pooled(site: Site, limits: Limits = KEEPING) -> AsyncIterator[tuple[Pool, Host]]:
    async with listening(site) as port:
        pool = Pool(lambda: limits)
        try:
            yield pool, Host(IP, IP, port)
        finally:
            pool.close()
            await site.until_open(0)


async def mail(
    pool: Pool, host: Host, terms: Terms = TERMS, envelope: Envelope = ENVELOPE
) -> dict[str, Outcome]:
    result = await pool.send(host, terms, envelope, BODY)
    assert not isinstance(result, TryNext), result
    assert set(result) == set(envelope.recipients)
    return dict(result)


async def delivered(pool: Pool, host: Host, terms: Terms = TERMS) -> None:
    outcomes = await mail(pool, host, terms)
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}, outcomes


def count_of(peer: MemoryPeer, verb: str) -> int:
    return sum(line.startswith(verb) for line in peer.lines)


def quits(site: Site) -> list[bool]:
    return [peer.lines[-1] == "QUIT" for peer in site.peers]
