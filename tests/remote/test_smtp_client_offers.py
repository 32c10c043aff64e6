"""What a peer offers or lacks decides how a mail goes: SIZE, 8BITMIME, SMTPUTF8; and arguments."""

import pytest

from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import Phase, Unusable
from services.remote.terms import Dialect
from tests.remote.conversation import BODY, ENVELOPE, IP, Conversation
from tests.remote.smtp_peer import PIPELINING, PLAIN, MemoryPeer
from tubepost.outcome import Delivered, Failed
from tubepost.record import Envelope, Wish

A, ZOE = "a@example.net", "zo\xeb@example.net"
WIDE = (
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\xfc\xdfe=\r\n".encode()
)
NARROW = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe=3D\r\n"
)


def offering(*lines: str) -> bytes:
    replies = ["250-peer.example", *(f"250-{line}" for line in lines), "250 HELP", ""]
    return "\r\n".join(replies).encode()


@pytest.mark.parametrize("limit", ["SIZE 20", "size 00000000000000000020", "SIZE 1"])
def test_a_mail_above_the_limit_fails_unsent(limit: str) -> None:
    talk = Conversation(MemoryPeer(ehlo=offering(limit))).greet()
    outcomes = talk.mail()
    for outcome in outcomes.values():
        assert isinstance(outcome, Failed)
        assert (outcome.status, outcome.phase) == ("5.3.4", "mail")
        assert f"takes mails of at most {int(limit[5:])} octets and this one has 21" in outcome.text
    assert talk.elsewhere() == set(outcomes)  # its backup, or whom it backs up, may take more
    assert talk.peer.lines == ["EHLO me.example"]
    assert talk.client.phase is Phase.IDLE


@pytest.mark.parametrize(
    "limit", ["SIZE", "SIZE 0", "SIZE 21", "SIZE -1", "SIZE ten", "SIZE " + "9" * 5000]
)
def test_no_limit_or_one_that_is_enough(limit: str) -> None:
    talk = Conversation(MemoryPeer(ehlo=offering(limit[:3000]))).greet()
    assert {type(outcome) for outcome in talk.mail().values()} == {Delivered}
    assert "MAIL FROM:<s@example.org> SIZE=21" in talk.peer.lines


def test_a_peer_without_8bitmime_gets_seven_bits() -> None:
    talk = Conversation(MemoryPeer(ehlo=offering("SIZE"))).greet()
    talk.mail(body=WIDE)
    assert talk.peer.bodies == [NARROW]
    assert f"MAIL FROM:<s@example.org> SIZE={len(NARROW)}" in talk.peer.lines


@pytest.mark.parametrize(("ehlo", "convert"), [(PIPELINING, True), (PLAIN, False)])
def test_or_the_octets_as_they_are(ehlo: bytes, convert: bool) -> None:
    client = SmtpClient(IP, "me.example", dialect=Dialect(convert=convert))
    talk = Conversation(MemoryPeer(ehlo=ehlo), client=client).greet()
    talk.mail(body=WIDE)
    assert talk.peer.bodies == [WIDE]


def test_who_needs_smtputf8_may_be_taken_by_another_host() -> None:
    talk = Conversation(MemoryPeer(ehlo=PLAIN)).greet()
    outcomes = talk.mail(Envelope("s@x.example", (A, ZOE), smtputf8=True))
    assert isinstance(outcomes[A], Delivered)
    assert isinstance(outcomes[ZOE], Failed)
    assert talk.elsewhere() == {ZOE}
    talk.mail(Envelope("jos\xe9@x.example", (A, ZOE), smtputf8=True))
    assert talk.elsewhere() == {A, ZOE}


# Arguments that would say more than they should

EVIL = ["x\r\nRSET", "x\nRSET", "x\rRSET", "x\0", "x\x1b", "x\udc80"]


def wire(envelope: Envelope) -> list[str]:
    talk = Conversation(MemoryPeer(ehlo=offering("DSN", "SMTPUTF8", "PIPELINING"))).greet()
    talk.mail(envelope)
    return talk.peer.lines[1:]


@pytest.mark.parametrize("evil", EVIL)
def test_no_argument_ends_its_command(evil: str) -> None:
    assert wire(Envelope(f"{evil}@x.example", (A,))) == []
    assert wire(Envelope("", (f"{evil}@x.example",))) == []
    wishes = {A: Wish(evil, f"rfc822;{evil}")}
    plain = ["MAIL FROM:<>", f"RCPT TO:<{A}>", "DATA"]
    assert wire(Envelope("", (A,), wishes, ret=evil, envid=evil)) == plain


@pytest.mark.parametrize("evil", ["a@x> NOTIFY=NEVER", "a> SIZE=1@x", "a b@x"])
def test_an_address_cannot_add_parameters(evil: str) -> None:
    assert wire(Envelope(evil, (A,))) == []
    assert wire(Envelope("", (evil, A)))[1:] == [f"RCPT TO:<{A}>", "DATA"]
    assert wire(Envelope("", ('"a> b"@x.example',)))[1] == 'RCPT TO:<"a> b"@x.example>'
    assert wire(Envelope("", (A,), envid="a BODY=8BITMIME"))[0] == "MAIL FROM:<>"


@pytest.mark.parametrize("evil", EVIL)
def test_a_name_for_ehlo_that_would_is_a_deferral(evil: str) -> None:
    talk = Conversation(MemoryPeer(), client=SmtpClient(IP, evil)).greet()
    [event] = talk.events
    assert isinstance(event, Unusable)
    assert event.status == "4.3.5"
    assert talk.peer.lines == ["QUIT"]


def test_the_default_is_to_convert() -> None:
    assert Dialect().convert
    assert set(Conversation(MemoryPeer()).greet().mail(ENVELOPE, BODY).values())
