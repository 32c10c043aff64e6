"""Whatever a host does, and whenever: one outcome for each recipient, and nothing is left behind.

Where several outcomes would be right, the tests ask only for what must never be wrong.
"""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from services.remote.smtp.events import Phase
from services.remote.terms import Terms
from tests.remote.attempts import TERMS, Attempts
from tests.remote.hostile_peer import AT_EASE, EXTENSIONS, GREETING, IN_MAIL, HostilePeer, Misdeed
from tests.remote.misdeeds import MISDEEDS
from tests.remote.smtp_peer import listening
from tubepost.delivery import Mail
from tubepost.outcome import MAX_TEXT, Deferred, Delivered, Failed, Outcome
from tubepost.smtproutes import Login
from tubepost.subjects import Key
from tubepost.tls_policy import Level, TlsPolicy

RECIPIENTS = ("a@example.net", "b@example.net")
SHORT = 0.3
MUCH = 12_000_000
"""Octets of a body that sockets' buffers do not hold."""

MEMORY = 16 << 20

PHASES = {
    "BANNER": Phase.BANNER,
    "EHLO": Phase.EHLO,
    "STARTTLS": Phase.STARTTLS,
    "HANDSHAKE": Phase.HANDSHAKE,
    "AUTH": next((phase for phase in Phase if phase == "auth"), Phase.EHLO),
    "RSET": Phase.RSET,
    "MAIL": Phase.MAIL,
    "RCPT": Phase.RCPT,
    "DATA": Phase.DATA,
    "BODY": Phase.BODY,
    ".": Phase.FINAL_DOT,
    "IDLE": Phase.MAIL,
    "QUIT": Phase.IDLE,
}
"""Where the client has to be impatient for a misdeed there to end soon."""


def impatient(at: str) -> dict[Phase, float]:
    """Little time where the misdeed is done; whoever only reads the body also owes the reply."""
    short = {PHASES[at], Phase.FINAL_DOT} if at == "BODY" else {PHASES[at]}
    return dict.fromkeys(Phase, 10.0) | dict.fromkeys(short, SHORT)


def cases(*ats: str) -> list[tuple[str, Misdeed]]:
    """Each misdeed at each place where it can be done."""
    return [
        (at, misdeed)
        for at in ats
        for misdeed in MISDEEDS
        if misdeed.unasked or at not in ("IDLE", "BODY", "HANDSHAKE")
    ]


def named(cases: list[tuple[str, Misdeed]]) -> pytest.MarkDecorator:
    ids = [f"{at} {misdeed.name}" for at, misdeed in cases]
    return pytest.mark.parametrize(("at", "misdeed"), cases, ids=ids)


def mail(number: int, at: str) -> Mail:
    body = f"Subject: mail {number}\r\n\r\nhello\r\n".encode()
    body += b"x" * MUCH if at == "BODY" else b""
    key = Key(0, f"m{number}", "0")
    return Mail(key, "s@example.org", RECIPIENTS, "[127.0.0.1]", body, 1, 0.0)


def first_line(mail: Mail) -> bytes:
    return mail.body.partition(b"\r\n")[0]


@asynccontextmanager
async def met(peer: HostilePeer, terms: Terms = TERMS) -> AsyncIterator[Attempts]:
    """Attempts at the peer; at the end no connection and no task may be left."""
    before = asyncio.all_tasks()
    async with listening(peer.meet) as port, Attempts(port, terms) as attempts:
        yield attempts
        attempts.close()
        await peer.all_gone()
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}


def check(peer: HostilePeer, mail: Mail, outcomes: Mapping[str, Outcome], *, no: bool) -> None:
    """`no`: whether the peer said 5xx."""
    assert set(outcomes) == set(RECIPIENTS)
    granted = first_line(mail) in peer.granted
    for outcome in outcomes.values():
        assert isinstance(outcome, Delivered | Deferred | Failed)
        assert not isinstance(outcome, Delivered) or granted
        assert not isinstance(outcome, Failed) or no
        assert len(outcome.text) <= 2 * MAX_TEXT
        assert outcome.text.isprintable()
        assert outcome.text.isascii()
    assert peer.taken[first_line(mail)] <= 1, "the same mail was sent twice in one attempt"


async def three_mails(peer: HostilePeer, attempts: Attempts, *, no: bool) -> None:
    """Two with little patience; the third, with much, arrives, as all is done by then."""
    attempts.patience = impatient(peer.at)
    for number in range(2):
        one = mail(number, peer.at)
        check(peer, one, await attempts.deliver(one), no=no)
    attempts.patience = dict.fromkeys(Phase, 10.0)
    last = mail(2, "")
    outcomes = await attempts.deliver(last)
    check(peer, last, outcomes, no=False)
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}, outcomes


@named(cases(*GREETING[:-1], *IN_MAIL[1:], *AT_EASE))
async def test_one_mail_and_two_more(at: str, misdeed: Misdeed) -> None:
    peer = HostilePeer(at, misdeed)
    async with met(peer) as attempts:
        await three_mails(peer, attempts, no=misdeed.no)
    assert peer.done


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@named(cases("AUTH"))
async def test_a_login_that_goes_wrong_fails_no_mail(
    at: str, misdeed: Misdeed, mechanism: str
) -> None:
    """Refused or not, it is our settings' matter and not the mail's."""
    peer = HostilePeer(at, misdeed, extensions=(*EXTENSIONS, f"AUTH {mechanism}"))
    in_the_clear = replace(TERMS, tls=TlsPolicy(Level.NONE), login=Login("me", "secret"))
    async with met(peer, in_the_clear) as attempts:
        await three_mails(peer, attempts, no=False)
    assert peer.done


@named(cases("RSET", "MAIL", "RCPT", "DATA", "."))
async def test_the_mail_after_one_that_went_well(at: str, misdeed: Misdeed) -> None:
    peer = HostilePeer(at, misdeed, nth=2, spoilt=at == "RSET")
    async with met(peer) as attempts:
        attempts.patience = impatient(at)
        for number in range(3):
            one = mail(number, at)
            check(peer, one, await attempts.deliver(one), no=misdeed.no)
    assert peer.done
    assert peer.connections <= 3


@named([case for case in cases("BANNER", "EHLO", "RCPT", ".") if case[1].floods])
async def test_a_flood_is_not_stored(at: str, misdeed: Misdeed) -> None:
    peer = HostilePeer(at, misdeed)
    async with met(peer) as attempts:
        tracemalloc.start()
        try:
            one = mail(0, at)
            check(peer, one, await attempts.deliver(one), no=False)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peer.done
    assert peak < MEMORY
    assert peer.flooded < MEMORY, "it was read on and on"
