"""Sessions kept for the next mail, over real sockets: which mail goes over which one."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from services.remote import pool as pools
from services.remote.connection import Opened, TryNext
from services.remote.idle import Limits
from services.remote.mx import Host
from services.remote.pool import Pool, limits_of
from services.remote.terms import Source, Terms
from tests.fakes import MemoryBus
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
    GREETING,
    PIPELINING,
    PLAIN,
    STARTTLS,
    TERMS,
    MemoryPeer,
    listening,
    server_context,
)
from tubepost import remote_values
from tubepost.control import Control
from tubepost.outcome import Deferred, Delivered, Failed
from tubepost.record import Envelope
from tubepost.tls_policy import Level, TlsPolicy

# Kept and used again


async def test_mails_one_after_another_share_a_connection() -> None:
    async with pooled(site := Site()) as (pool, host):
        for _ in range(3):
            await delivered(pool, host)
        assert site.bodies == [3]
        assert pool.idle == 1
    assert [line for line in site.peers[0].lines if line.startswith(("EHLO", "RSET"))] == [
        "EHLO me.example"
    ]
    assert quits(site) == [True]


async def test_mails_at_the_same_time_have_connections_of_their_own() -> None:
    async with pooled(site := Site()) as (pool, host):
        await asyncio.gather(*(delivered(pool, host) for _ in range(3)))
        assert site.bodies == [1, 1, 1]
        await asyncio.gather(*(delivered(pool, host) for _ in range(3)))
        assert site.bodies == [2, 2, 2]


async def test_a_connection_has_its_number_of_mails() -> None:
    async with pooled(site := Site(), replace(KEEPING, mails=2)) as (pool, host):
        for _ in range(5):
            await delivered(pool, host)
        assert site.bodies == [2, 2, 1]
    assert quits(site) == [True, True, True]


async def test_a_connection_has_no_more_mails_than_its_host_announces() -> None:
    ehlo = b"250-peer.example\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=50 MAILMAX=2\r\n"
    async with pooled(site := Site(ehlo=ehlo)) as (pool, host):
        for _ in range(3):
            await delivered(pool, host)
        assert site.bodies == [2, 1]


@pytest.mark.parametrize("limits", [replace(KEEPING, idle=0), replace(KEEPING, life=0)])
async def test_each_mail_has_its_own_where_none_is_kept(limits: Limits) -> None:
    async with pooled(site := Site(), limits) as (pool, host):
        await delivered(pool, host)
        await delivered(pool, host)
        assert pool.idle == 0
        await site.until_open(0)
        assert site.bodies == [1, 1]
    assert quits(site) == [True, True]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_over_tls_too(tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    context = server_context(tmp_path)
    peers: list[MemoryPeer] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(peer := MemoryPeer(ehlo=STARTTLS))
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))
            if peer.lines[-1] == "STARTTLS":
                await writer.start_tls(context)
        over.set()

    async def deliver() -> None:
        async with listening(handler) as port:
            pool = Pool(lambda: KEEPING)
            for _ in range(3):
                await delivered(pool, Host("mx.example", IP, port))
            pool.close()
            async with asyncio.timeout(10):
                await over.wait()

    over = asyncio.Event()
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(deliver())
    assert [len(peer.bodies) for peer in peers] == [3]
    assert peers[0].lines[-1] == "QUIT"


# Who may have whose


@pytest.mark.parametrize(
    "other",
    [
        replace(TERMS, source=Source(helo="other.example")),
        replace(TERMS, source=Source(helo="me.example", ips=("127.0.0.9",))),
        replace(TERMS, tls=TlsPolicy(Level.NONE)),
        replace(TERMS, lmtp=True),
    ],
)
def test_other_terms_are_another_session(other: Terms) -> None:
    host = Host("mx.example", IP)
    assert pools._key(host, other) != pools._key(host, TERMS)


def test_time_limits_are_no_terms() -> None:
    patient = replace(TERMS, connect_seconds=7.0, reply_seconds=8.0)
    assert patient == TERMS
    assert hash(patient) == hash(TERMS)


def test_a_verified_name_is_not_another_name_of_the_address() -> None:
    one, two = Host("one.example", IP), Host("two.example", IP)
    assert pools._key(one, TERMS) == pools._key(two, TERMS)
    verified = replace(TERMS, tls=TlsPolicy(Level.VERIFY))
    assert pools._key(one, verified) != pools._key(two, verified)


async def test_changed_settings_are_not_for_sessions_of_before() -> None:
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    async with listening(site := Site()) as port:
        pool, host = Pool(limits_of(control)), Host(IP, IP, port)
        await delivered(pool, host)
        renamed = replace(TERMS, source=Source(helo="new.example"))
        await delivered(pool, host, renamed)
        assert [peer.lines[0] for peer in site.peers] == ["EHLO me.example", "EHLO new.example"]
        control._on_change(remote_values.CONNECTIONIDLE.name, {"lines": ("0",)})
        await delivered(pool, host, renamed)
        assert site.bodies == [1, 1, 1]
        pool.close()
        await site.until_open(0)


# What remains a race


@pytest.mark.parametrize("ehlo", [PLAIN, PIPELINING], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("answers", NO_MORE, ids=["hangs up", "421", "452", "550", "nonsense"])
async def test_a_used_session_that_takes_no_more_is_followed_by_a_fresh_one_at_once(
    answers: dict[str, bytes | None], ehlo: bytes
) -> None:
    async with pooled(site := Site([answers], ehlo)) as (pool, host):
        await delivered(pool, host)
        await delivered(pool, host)
        assert site.bodies == [1, 1]
        await site.until_open(1)


async def test_rset_refused_is_followed_by_a_fresh_one() -> None:
    """The first mail left the session unclean, so that the second one begins with RSET."""
    async with pooled(site := Site(ehlo=PLAIN)) as (pool, host):
        await delivered(pool, host)
        site.peers[0].answers["RCPT"] = b"450 4.2.1 later\r\n"
        assert isinstance((await mail(pool, host))["a@example.net"], Deferred)
        site.peers[0].answers |= {"RCPT": b"250 ok\r\n", "RSET": b"421 enough\r\n"}
        await delivered(pool, host)
        assert "RSET" in site.peers[0].lines
        assert len(site.peers) == 2


async def test_what_a_fresh_session_says_to_mail_is_the_outcome() -> None:
    """And that session is not kept: the next mail would only be refused and have another one."""
    async with pooled(site := Site()) as (pool, host):
        async with asyncio.TaskGroup() as tasks:
            refused = tasks.create_task(mail(pool, host))
            await site.until_open(1)
            site.peers[0].answers["MAIL"] = b"450 4.7.1 later\r\n"
        [outcome] = refused.result().values()
        assert isinstance(outcome, Deferred)
        assert outcome.reply == "450 4.7.1 later"
        await site.until_open(0)
        assert len(site.peers) == 1


async def test_after_the_final_dot_the_outcome_stands() -> None:
    """The peer may have the mail: a second one would be ours to answer for."""
    async with pooled(site := Site([{".": None}], PLAIN)) as (pool, host):
        await delivered(pool, host)
        [outcome] = (await mail(pool, host)).values()
        assert isinstance(outcome, Deferred)
        assert "Possible duplicate!" in outcome.text
        assert len(site.peers) == 1


@pytest.mark.parametrize("verb", ["RCPT", "DATA"])
@pytest.mark.parametrize("said", [None, b"421 4.7.0 too many errors\r\n"])
async def test_a_used_session_that_breaks_before_the_content_is_followed_by_a_fresh_one(
    verb: str, said: bytes | None
) -> None:
    """The host had enough of the session, for the mails before this one perhaps."""
    async with pooled(site := Site([{verb: said}], PLAIN)) as (pool, host):
        await delivered(pool, host)
        await delivered(pool, host)
        assert site.bodies == [1, 1]


async def test_who_has_an_answer_of_the_used_session_is_not_asked_again() -> None:
    both = Envelope("s@example.org", ("a@example.net", "b@example.net"))
    answers: dict[str, bytes | None] = {
        "RCPT TO:<a": b"550 5.1.1 who?\r\n",
        "RCPT TO:<b": b"421 too many errors\r\n",
    }
    async with pooled(site := Site([answers], PLAIN)) as (pool, host):
        await delivered(pool, host)
        outcomes = await mail(pool, host, envelope=both)
    assert [type(outcomes[r]) for r in both.recipients] == [Failed, Delivered]
    assert count_of(site.peers[1], "RCPT TO:<a") == 0


@pytest.mark.parametrize("verb", ["RCPT", "DATA"])
async def test_once_a_fresh_session_took_mail_the_next_host_is_asked(verb: str) -> None:
    answers: list[dict[str, bytes | None]] = [{verb: b"421 enough\r\n"}]
    async with pooled(site := Site(answers, PLAIN)) as (pool, host):
        await delivered(pool, host)
        async with asyncio.TaskGroup() as tasks:
            sent = tasks.create_task(pool.send(host, TERMS, ENVELOPE, BODY))
            await site.until(lambda: len(site.peers) == 2)
            site.peers[1].answers[verb] = b"421 enough\r\n"
        result = sent.result()
        assert isinstance(result, TryNext)
        assert result.end is not None
        assert set(result.end.elsewhere) == set(ENVELOPE.recipients)
        assert len(site.peers) == 2


async def test_a_session_the_peer_closed_while_idle_is_not_used() -> None:
    async with pooled(site := Site()) as (pool, host):
        await delivered(pool, host)
        site.writers[0].close()
        await delivered(pool, host)
        assert site.bodies == [1, 1]


async def test_a_421_while_idle_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """This side closes it, too, where the peer says it and then waits."""
    monkeypatch.setattr(pools, "SWEEP", 0.01)
    async with pooled(site := Site()) as (pool, host):
        await delivered(pool, host)
        site.writers[0].write(b"421 4.4.2 idle for too long\r\n")
        await site.until_open(0)
        assert pool.idle == 0
        await delivered(pool, host)
        assert site.bodies == [1, 1]


async def test_words_right_behind_the_last_reply_end_the_session() -> None:
    site = Site([{".": b"250 taken\r\n421 and goodbye\r\n"}])
    async with pooled(site) as (pool, host):
        for _ in range(3):
            await delivered(pool, host)
        assert site.bodies == [2, 1]


# Which host


async def test_a_host_with_an_idle_session_goes_first_among_equals() -> None:
    async with pooled(Site(), replace(KEEPING, mails=2)) as (pool, host):
        other, worse = Host("other", "127.0.0.3"), replace(host, preference=20)
        assert pool.idle_first([other, host], TERMS) == [other, host]
        await delivered(pool, host)
        assert pool.idle_first([other, host], TERMS) == [host, other]
        assert pool.idle_first([host, other], TERMS) == [host, other]
        assert pool.idle_first([other, worse], TERMS) == [other, worse]
        assert pool.idle_first([other, host], replace(TERMS, lmtp=True)) == [other, host]
        await delivered(pool, host)  # its last mail: the order decides again
        assert pool.idle_first([other, host], TERMS) == [other, host]


# Counting


class Tally:
    """A Meter that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def connected(self, seconds: float) -> None:
        assert seconds >= 0
        self.told.append("connected")

    def greeted(self, opened: Opened) -> None:
        self.told.append(f"greeted {opened.tls}".strip())

    def mail(self, reused: bool, seconds: float) -> None:
        assert seconds >= 0
        self.told.append("reused" if reused else "new")

    def failed(self, phase: str) -> None:
        self.told.append(phase)


async def test_what_the_meter_is_told(unused_tcp_port: int) -> None:
    tally = Tally()
    pool = Pool(lambda: KEEPING, tally)

    async def unwelcoming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 no\r\n")

    async with listening(Site([{"MAIL": None}])) as port, listening(unwelcoming) as bad:
        await delivered(pool, Host(IP, IP, port))
        await delivered(pool, Host(IP, IP, port))
        await delivered(pool, Host(IP, IP, port))
        await pool.send(Host(IP, IP, bad), TERMS, ENVELOPE, BODY)
        await pool.send(Host(IP, IP, unused_tcp_port), TERMS, ENVELOPE, BODY)
        pool.close()
    opened = ["connected", "greeted", "new"]
    assert tally.told == [*opened, *opened, "reused", "greeting", "connect"]
