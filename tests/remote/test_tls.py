"""What each level of a TLS policy makes of each kind of peer, over real sockets."""

import asyncio
import ssl
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from prometheus_client import REGISTRY

from services.remote.connection import Session, TryNext
from services.remote.mx import Host
from services.remote.pool import Pool
from services.remote.smtp.events import Phase
from services.remote.terms import Source, Terms
from services.remote.tls_fallbacks import Fallbacks
from tests.remote.authority import Authority, TlsPeer
from tests.remote.site import KEEPING
from tests.remote.smtp_peer import PLAIN, MemoryPeer, listening
from tubepost.outcome import Delivered
from tubepost.record import Envelope
from tubepost.tls_policy import Level, TlsPolicy

IP = "127.0.0.1"
NAME = "mx.example.org"
ENVELOPE = Envelope("s@example.org", ("a@example.net",))
BODY = b"Subject: x\r\n\r\nhello\r\n"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

NO_TLS = ("no STARTTLS", "refused", "refused for good")
BROKEN = ("hung up", "garbage", "closing", "silence")
UNTRUSTED = ("wrong name", "no name", "expired", "self-signed", "unknown authority")
KINDS = (*NO_TLS, *BROKEN, *UNTRUSTED, "good")
REASONS = {
    "refused": "refused",
    "refused for good": "refused",
    "hung up": "lost",
    "garbage": "handshake",
    "closing": "lost",
    "silence": "timeout",
}
"""What a fallback is counted as."""


class Lab:
    """One authority that is trusted, one that is not, and every kind of peer."""

    def __init__(self, folder: Path) -> None:
        self.trusted, self.unknown = Authority(folder), Authority(folder, "unknown")

    def peer(self, kind: str) -> TlsPeer:
        answers = {
            "refused": b"454 4.7.0 not now\r\n",
            "refused for good": b"501 what?\r\n",
            "hung up": b"421 4.7.0 overloaded\r\n",
        }
        if kind in answers:
            return TlsPeer("closing", {"STARTTLS": answers[kind]})
        if kind == "no STARTTLS":
            return TlsPeer("closing", ehlo=PLAIN)
        return TlsPeer(kind) if kind in BROKEN else TlsPeer(self.context(kind))

    def context(self, kind: str = "good") -> ssl.SSLContext:
        match kind:
            case "wrong name":
                return self.trusted.server("other.example.net", "*.other.example", "192.0.2.1")
            case "no name":
                return self.trusted.server(NAME, alternatives=False)
            case "expired":
                return self.trusted.server(NAME, until=LONG_AGO)
            case "self-signed":
                return self.trusted.server(NAME, alone=True)
            case "unknown authority":
                return self.unknown.server(NAME)
            case _:
                return self.trusted.server(NAME)

    def terms(self, level: Level, *names: str, kind: str = "") -> Terms:
        """Little patience with a handshake that only a test's patience ends."""
        handshake = 0.2 if kind == "silence" else 30.0
        return Terms(
            source=Source(helo="me.example"),
            tls=TlsPolicy(level, names),
            ca_file=str(self.trusted.file),
            patience=dict.fromkeys(Phase, 30.0) | {Phase.HANDSHAKE: handshake},
        )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("tubepost_tls_fallbacks_total", {"reason": reason}) or 0.0


async def opened(
    peer: TlsPeer, terms: Terms, fallbacks: Fallbacks | None = None, name: str = NAME
) -> Session | TryNext:
    """One session, with one mail if it stands; it is over."""
    async with peer.listening() as port:
        return await one_mail(Host(name, IP, port), terms, fallbacks)


async def one_mail(host: Host, terms: Terms, fallbacks: Fallbacks | None) -> Session | TryNext:
    session = await Session.open(host, terms, fallbacks)
    if isinstance(session, Session):
        outcomes = await session.deliver(ENVELOPE, BODY)
        assert not isinstance(outcomes, TryNext)
        [outcome] = outcomes.values()
        assert isinstance(outcome, Delivered)
        assert outcome.tls == f"{session.opened.tls} {session.opened.cipher}".strip()
        session.close()
    return session


# none


@pytest.mark.parametrize("kind", KINDS)
async def test_none_never_says_starttls(lab: Lab, kind: str) -> None:
    peer = lab.peer(kind)
    session = await opened(peer, lab.terms(Level.NONE))
    assert isinstance(session, Session)
    assert (session.opened.tls, session.opened.in_clear) == ("", None)
    assert (peer.said("STARTTLS"), peer.secure, peer.bodies) == (0, [False], [BODY])


# may


@pytest.mark.parametrize("kind", [*UNTRUSTED, "good"])
async def test_may_looks_at_no_certificate(lab: Lab, kind: str) -> None:
    peer = lab.peer(kind)
    session = await opened(peer, lab.terms(Level.MAY))
    assert isinstance(session, Session)
    assert session.opened.tls == "TLSv1.3"
    assert session.opened.cipher
    assert session.opened.certificate
    assert not session.opened.verified
    assert (peer.secure, peer.bodies) == ([True], [BODY])


async def test_may_is_content_with_a_host_without_tls(lab: Lab) -> None:
    peer = lab.peer("no STARTTLS")
    before = sum(map(counted, REASONS.values()))
    fallbacks = Fallbacks()
    session = await opened(peer, lab.terms(Level.MAY), fallbacks)
    assert isinstance(session, Session)
    assert (session.opened.in_clear, peer.bodies) == (None, [BODY])
    assert sum(map(counted, REASONS.values())) == before


@pytest.mark.parametrize("kind", REASONS)
async def test_may_falls_back_and_the_next_mail_does_not_pay_again(lab: Lab, kind: str) -> None:
    peer, fallbacks, terms = lab.peer(kind), Fallbacks(), lab.terms(Level.MAY, kind=kind)
    before = counted(REASONS[kind])
    async with peer.listening() as port:
        host = Host(NAME, IP, port)
        first = await one_mail(host, terms, fallbacks)
        second = await one_mail(host, terms, fallbacks)
    assert isinstance(first, Session)
    assert isinstance(second, Session)
    assert first.opened.in_clear == second.opened.in_clear
    assert first.opened.in_clear is not None
    assert counted(REASONS[kind]) == before + 1
    assert peer.said("STARTTLS") == 1
    assert len(peer.sessions) == (2 if kind.startswith("refused") else 3)
    assert peer.bodies == [BODY, BODY]


async def test_what_fell_back_at_may_is_not_asked_where_tls_is_demanded(lab: Lab) -> None:
    peer, fallbacks = lab.peer("good"), Fallbacks()
    async with lab.peer("garbage").listening() as port:
        await one_mail(Host(NAME, IP, port), lab.terms(Level.MAY), fallbacks)
        assert fallbacks.known(Host(NAME, IP, port))
        result = await one_mail(Host(NAME, IP, port), lab.terms(Level.ENCRYPT), fallbacks)
    assert isinstance(result, TryNext)
    session = await opened(peer, lab.terms(Level.ENCRYPT), fallbacks)
    assert isinstance(session, Session)


async def test_a_host_that_does_not_answer_in_the_clear_either_is_not_remembered(
    lab: Lab,
) -> None:
    peer = TlsPeer("garbage")
    fallbacks = Fallbacks()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not peer.sessions:
            await peer.meet(reader, writer)

    async with listening(once) as port:
        host = Host(NAME, IP, port)
        result = await Session.open(host, lab.terms(Level.MAY), fallbacks)
    assert isinstance(result, TryNext)
    assert not result.tls
    assert fallbacks.known(host) is None


# encrypt and verify


@pytest.mark.parametrize("level", [Level.ENCRYPT, Level.VERIFY])
@pytest.mark.parametrize("kind", [*NO_TLS, *BROKEN])
async def test_no_mail_in_the_clear_where_tls_is_demanded(
    lab: Lab, level: Level, kind: str
) -> None:
    peer = lab.peer(kind)
    result = await opened(peer, lab.terms(level, kind=kind), Fallbacks())
    assert isinstance(result, TryNext)
    assert result.tls
    assert result.status == ("4.7.4" if kind in NO_TLS else "4.7.5")
    assert result.reason.endswith(f". (#{result.status})")
    assert len(peer.sessions) == 1
    assert peer.said("MAIL") == 0


@pytest.mark.parametrize("kind", [*UNTRUSTED, "good"])
async def test_encrypt_looks_at_no_certificate(lab: Lab, kind: str) -> None:
    peer = lab.peer(kind)
    session = await opened(peer, lab.terms(Level.ENCRYPT))
    assert isinstance(session, Session)
    assert peer.secure == [True]


PROBLEMS = {
    "wrong name": "its certificate is for other.example.net, *.other.example, 192.0.2.1, "
    "not for mx.example.org",
    "no name": "its certificate is for no name, not for mx.example.org",
    "expired": "its certificate has expired",
    "self-signed": "its certificate is self-signed",
    "unknown authority": "its certificate comes from an authority that is not trusted here",
}


@pytest.mark.parametrize("kind", UNTRUSTED)
async def test_verify_says_what_is_wrong_with_a_certificate(lab: Lab, kind: str) -> None:
    peer = lab.peer(kind)
    result = await opened(peer, lab.terms(Level.VERIFY))
    text = f"Connected to {IP} but {PROBLEMS[kind]}. (#4.7.5)"
    assert result == TryNext(text, connected=True, status="4.7.5", tls=True)
    assert len(peer.sessions) == 1
    assert peer.said("MAIL") == 0


async def test_verify_takes_a_good_certificate(lab: Lab) -> None:
    peer = lab.peer("good")
    session = await opened(peer, lab.terms(Level.VERIFY))
    assert isinstance(session, Session)
    assert session.opened.verified
    assert (peer.secure, peer.bodies) == ([True], [BODY])


@pytest.mark.parametrize(
    ("wanted", "good"),
    [
        ((NAME,), True),
        ((".example.org",), True),
        (("example.org", ".example.org"), True),
        (("example.org",), False),
        (("mx.example.net", ".example.net"), False),
    ],
)
async def test_the_names_of_a_policy_count_and_not_the_hosts_own(
    lab: Lab, wanted: tuple[str, ...], *, good: bool
) -> None:
    terms = lab.terms(Level.VERIFY, *wanted)
    session = await opened(lab.peer("good"), terms, name="from.dns.example")
    assert isinstance(session, Session) is good


async def test_the_address_of_a_host_without_a_name(lab: Lab) -> None:
    """And none is told by SNI, which carries names only."""
    told: list[str | None] = []
    context = lab.trusted.server(IP)
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    session = await opened(TlsPeer(context), lab.terms(Level.VERIFY), name=IP)
    assert isinstance(session, Session)
    other = await opened(TlsPeer(lab.context()), lab.terms(Level.VERIFY), name=IP)
    assert isinstance(other, TryNext)
    assert told == [None]


async def test_the_hosts_name_is_told_by_sni(lab: Lab) -> None:
    told: list[str | None] = []
    context = lab.context()
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    await opened(TlsPeer(context), lab.terms(Level.MAY), name="mx.example.org.")
    assert told == [NAME]


@pytest.mark.parametrize("level", [Level.MAY, Level.ENCRYPT])
@pytest.mark.parametrize(
    "name",
    ["mx..example", ".mx.example", "\\255" * 20 + ".example", "x" * 64, "a." * 150, "\xfc.x"],
)
async def test_a_name_that_sni_cannot_carry_costs_no_tls(lab: Lab, level: Level, name: str) -> None:
    """Who writes a zone could else put the mail to anybody's address in the clear."""
    session = await opened(lab.peer("good"), lab.terms(level), name=name)
    assert isinstance(session, Session)
    assert session.opened.tls == "TLSv1.3"


async def test_a_failure_under_one_name_leaves_tls_to_another(lab: Lab) -> None:
    """The host may dislike the name in SNI, and that name somebody else has chosen."""
    peer, fallbacks, terms = lab.peer("closing"), Fallbacks(), lab.terms(Level.MAY)
    async with peer.listening() as port:
        await one_mail(Host("chosen.example", IP, port), terms, fallbacks)
        peer.handshake = lab.peer("good").handshake
        session = await one_mail(Host(NAME, IP, port), terms, fallbacks)
    assert isinstance(session, Session)
    assert session.opened.tls


async def test_no_other_name_gets_a_session_that_failed_to_have_tls(lab: Lab) -> None:
    peer, terms = lab.peer("closing"), lab.terms(Level.MAY)
    pool = Pool(lambda: KEEPING)
    async with peer.listening() as port:
        await pool.send(Host("chosen.example", IP, port), terms, ENVELOPE, BODY)
        assert not pool.idle
        peer.handshake = lab.peer("good").handshake
        await pool.send(Host(NAME, IP, port), terms, ENVELOPE, BODY)
        pool.close()
    assert peer.secure[-1]


async def test_tls_older_than_1_2_is_as_good_as_none(lab: Lab) -> None:
    context = lab.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    peer = TlsPeer(context)
    session = await opened(peer, lab.terms(Level.MAY))
    assert isinstance(session, Session)
    assert session.opened.in_clear is not None
    assert peer.secure == [False, False]
    assert isinstance(await opened(TlsPeer(context), lab.terms(Level.ENCRYPT)), TryNext)


async def test_a_peer_that_says_no_inside_tls_is_not_asked_in_the_clear(lab: Lab) -> None:
    """It has TLS; what it does not want is us."""
    peer = lab.peer("good")
    replies = iter([peer.ehlo, b"450 4.3.2 not now\r\n"])

    class Moody(MemoryPeer):
        def take(self, data: bytes) -> bytes:
            if data.startswith(b"EHLO"):
                self.answers["EHLO"] = next(replies)
            return super().take(data)

    peer.memory = Moody
    result = await opened(peer, lab.terms(Level.MAY), Fallbacks())
    assert isinstance(result, TryNext)
    assert "450 4.3.2 not now" in result.reason
    assert peer.secure == [True]


# What a peer may try


@pytest.mark.parametrize("level", list(Level)[1:])
async def test_plain_text_injected_before_tls_ends_the_session(lab: Lab, level: Level) -> None:
    peer = TlsPeer(lab.context(), {"STARTTLS": b"220 go\r\n250 injected\r\n"})
    fallbacks = Fallbacks()
    result = await opened(peer, lab.terms(level), fallbacks)
    assert isinstance(result, TryNext)
    assert "plain text follows" in result.reason
    assert len(peer.sessions) == 1


# TLS from the first octet


def implicit(terms: Terms) -> Terms:
    return replace(terms, tls=replace(terms.tls, implicit=True))


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("level", [Level.MAY, Level.ENCRYPT, Level.VERIFY])
def test_tls_from_the_first_octet(lab: Lab, level: Level, loop: object) -> None:
    peer = TlsPeer(lab.context(), ehlo=PLAIN, at_once=True)
    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        session = runner.run(opened(peer, implicit(lab.terms(level))))
    assert isinstance(session, Session)
    assert session.opened.tls == "TLSv1.3"
    assert session.opened.verified is (level is Level.VERIFY)
    assert (peer.secure, peer.said("STARTTLS"), peer.bodies) == ([True], 0, [BODY])


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", UNTRUSTED)
def test_a_wrong_certificate_hears_no_word_from_us(lab: Lab, kind: str, loop: object) -> None:
    peer = TlsPeer(lab.context(kind), ehlo=PLAIN, at_once=True)
    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        result = runner.run(opened(peer, implicit(lab.terms(Level.VERIFY))))
    assert isinstance(result, TryNext)
    assert PROBLEMS[kind] in result.reason
    assert [session.lines for session in peer.sessions] == [[]]


@pytest.mark.parametrize("kind", ["garbage", "closing", "silence"])
async def test_there_is_no_clear_text_where_tls_comes_first(lab: Lab, kind: str) -> None:
    peer = TlsPeer(kind, at_once=True)
    result = await opened(peer, implicit(lab.terms(Level.MAY, kind=kind)), Fallbacks())
    assert isinstance(result, TryNext)
    assert (result.status, result.tls) == ("4.7.5", True)
    assert len(peer.sessions) == 1


async def test_a_plain_banner_is_not_heard_where_tls_comes_first(lab: Lab) -> None:
    peer = TlsPeer("closing")
    terms = lab.terms(Level.MAY)
    result = await opened(peer, implicit(terms))
    assert isinstance(result, TryNext)
    assert peer.said("EHLO") == 0
