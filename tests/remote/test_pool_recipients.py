"""The recipients of one mail at one host: one transaction, or as many as the host needs."""

import asyncio
from dataclasses import replace

import pytest

from services.remote.idle import Limits
from services.remote.mx import Host
from services.remote.pool import Pool
from tests.remote.site import (
    IP,
    KEEPING,
    Site,
    count_of,
    mail,
    pooled,
)
from tests.remote.smtp_peer import (
    GREETING,
    MemoryPeer,
    listening,
    speaking,
)
from tubepost.lifecycle import after_attempt
from tubepost.outcome import Deferred, Delivered
from tubepost.record import Envelope, Recipient, Record, State
from tubepost.retry import Rules


def to(count: int) -> Envelope:
    return Envelope("s@example.org", tuple(f"r{n}@example.net" for n in range(count)))


class Narrow(MemoryPeer):
    """Takes `most` recipients in each transaction."""

    most = 20
    full = b"452 4.5.3 too many recipients\r\n"

    def _answer(self, line: str) -> bytes:
        so_far = 0
        for past in self.lines:
            so_far = 0 if past.startswith("MAIL") else so_far + past.startswith("RCPT")
        answer = super()._answer(line)
        return self.full if line.startswith("RCPT") and so_far >= self.most else answer


async def test_fifty_recipients_are_one_transaction() -> None:
    async with pooled(site := Site()) as (pool, host):
        outcomes = await mail(pool, host, envelope=to(50))
        assert {type(outcome) for outcome in outcomes.values()} == {Delivered}
    [peer] = site.peers
    assert [count_of(peer, verb) for verb in ("MAIL", "RCPT", "DATA")] == [1, 50, 1]


RULES = Rules(604_800)
NOW = 1_700_000_000.0


def queued(count: int) -> Record:
    """As the queue has a mail for so many."""
    return Record(
        state=State.PENDING,
        channel="remote",
        destination="example.net",
        sender="s@example.org",
        recipients=tuple(Recipient(address) for address in to(count).recipients),
        size=10,
        created=NOW,
        next_attempt=NOW,
    )


@pytest.mark.parametrize("limits", [KEEPING, replace(KEEPING, idle=0)], ids=["kept", "not kept"])
@pytest.mark.parametrize("full", [Narrow.full, b"452 too many\r\n", b"552 5.5.3 too many\r\n"])
async def test_more_than_the_peer_takes_go_in_further_transactions_at_once(
    full: bytes, limits: Limits
) -> None:
    """What a transaction came to is in the record before the next one begins, so that nobody gets
    the mail twice where that one hangs and the worker is stopped."""
    peers: list[Narrow] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(peer := Narrow())
        peer.full = full
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))

    record, waiting = queued(50), []
    async with listening(handler) as port:
        pool = Pool(lambda: limits)
        while record.waiting:
            envelope = Envelope("s@example.org", record.waiting)
            outcomes = await mail(pool, Host(IP, IP, port), envelope=envelope)
            record = after_attempt(record, outcomes, began=NOW, now=NOW, rules=RULES)
            waiting.append(len(record.waiting))
            assert record.state is State.DONE or record.next_attempt == NOW
        pool.close()
    assert waiting == [30, 10, 0]
    assert sum(len(peer.bodies) for peer in peers) == 3
    assert len(peers) == (1 if limits.idle else 3)


async def test_the_rest_is_tried_although_the_lifetime_is_over() -> None:
    """The host takes them: a bounce would be for our own way of counting."""
    peer = Narrow()
    async with listening(speaking(peer)) as port:
        pool = Pool(lambda: KEEPING)
        outcomes = await mail(pool, Host(IP, IP, port), envelope=to(30))
        pool.close()
    late = NOW + 700_000
    record = after_attempt(queued(30), outcomes, began=late, now=late, rules=RULES)
    assert (record.state, len(record.waiting)) == (State.PENDING, 10)


@pytest.mark.parametrize("full", [b"552 5.5.3 too many\r\n", b"552 too many recipients\r\n"])
async def test_who_was_one_too_many_stays_where_the_mail_is_put_off(full: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Narrow({".": b"451 4.7.1 greylisted\r\n"})
        peer.full = full
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))

    async with listening(handler) as port:
        pool = Pool(lambda: KEEPING)
        outcomes = await mail(pool, Host(IP, IP, port), envelope=to(30))
        pool.close()
    assert {type(outcome) for outcome in outcomes.values()} == {Deferred}
