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
)
from tubepost.outcome import Deferred, Delivered
from tubepost.record import Envelope


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


@pytest.mark.parametrize("limits", [KEEPING, replace(KEEPING, idle=0)], ids=["kept", "not kept"])
@pytest.mark.parametrize("full", [Narrow.full, b"452 too many\r\n", b"552 5.5.3 too many\r\n"])
async def test_more_than_the_peer_takes_go_in_further_transactions(
    full: bytes, limits: Limits
) -> None:
    peers: list[Narrow] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(peer := Narrow())
        peer.full = full
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))

    async with listening(handler) as port:
        pool = Pool(lambda: limits)
        outcomes = await mail(pool, Host(IP, IP, port), envelope=to(50))
        pool.close()
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}
    assert sum(len(peer.bodies) for peer in peers) == 3
    assert len(peers) == (1 if limits.idle else 3)


async def test_a_host_lost_between_two_transactions_leaves_the_rest_deferred() -> None:
    """Those of the first transaction are delivered all the same."""
    peers: list[Narrow] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if peers:
            writer.write(b"421 busy\r\n")
            return
        peers.append(peer := Narrow({".": b"250 taken\r\n421 enough\r\n"}))
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))

    async with listening(handler) as port:
        pool = Pool(lambda: KEEPING)
        outcomes = await mail(pool, Host(IP, IP, port), envelope=to(30))
        pool.close()
    kinds = [type(outcomes[recipient]) for recipient in to(30).recipients]
    assert kinds == [Delivered] * 20 + [Deferred] * 10


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
