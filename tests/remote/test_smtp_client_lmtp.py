"""LMTP: LHLO, and a reply for each recipient after the final dot (RFC 2033)."""

import pytest

from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import MailEnd, Phase, Unusable
from services.remote.terms import Dialect
from tests.remote.conversation import ACCEPTED, BODY, IP, Conversation
from tests.remote.smtp_peer import PIPELINING, PLAIN, MemoryPeer
from tubepost.outcome import Deferred, Delivered, Failed
from tubepost.record import Envelope

A, B, C = (f"{name}@example.net" for name in "abc")
ENVELOPE = Envelope("s@example.org", (A, B, C))
EHLOS = pytest.mark.parametrize("ehlo", [PLAIN, PIPELINING], ids=["one-by-one", "pipelined"])
OK = b"250 2.0.0 queued as 42\r\n"
DIED = f"Connected to {IP} but connection died. "


def talking(answers: dict[str, bytes], ehlo: bytes = PIPELINING) -> Conversation:
    client = SmtpClient(IP, "me.example", dialect=Dialect(lmtp=True))
    return Conversation(MemoryPeer({"LHLO": ehlo} | answers), client=client).greet()


@EHLOS
def test_each_recipient_has_a_reply_to_the_final_dot(ehlo: bytes) -> None:
    talk = talking({".": OK + b"452 4.2.2 full\r\n550 5.2.1 gone\r\n"}, ehlo)
    outcomes = talk.mail(ENVELOPE)
    assert talk.peer.lines[0] == "LHLO me.example"
    assert outcomes[A] == ACCEPTED
    busy, gone = outcomes[B], outcomes[C]
    assert isinstance(busy, Deferred)
    assert (busy.status, busy.phase) == ("4.2.2", "final dot")
    assert isinstance(gone, Failed)
    assert gone.status == "5.2.1"
    assert talk.client.phase is Phase.IDLE


@EHLOS
def test_only_accepted_recipients_have_one(ehlo: bytes) -> None:
    talk = talking({"RCPT TO:<b": b"550 5.1.1 who?\r\n", ".": OK * 2}, ehlo)
    outcomes = talk.mail(ENVELOPE)
    assert [type(outcomes[r]) for r in (A, B, C)] == [Delivered, Failed, Delivered]


@EHLOS
@pytest.mark.parametrize("mails", [2, 3])
def test_mails_one_after_another(ehlo: bytes, mails: int) -> None:
    talk = talking({".": OK * 3}, ehlo)
    for _ in range(mails):
        assert set(talk.mail(ENVELOPE).values()) == {ACCEPTED}
    assert talk.peer.bodies == [BODY] * mails


@EHLOS
def test_lost_among_the_replies_leaves_in_doubt_who_has_none(ehlo: bytes) -> None:
    talk = talking({".": OK + b"550 no\r\n"}, ehlo)
    talk.events = talk.client.send_mail(ENVELOPE, BODY)
    talk.run()
    assert talk.events == []
    assert talk.client.phase is Phase.FINAL_DOT
    talk.events += talk.client.lost()
    outcomes = talk.outcomes()
    assert outcomes[A] == ACCEPTED
    assert isinstance(outcomes[B], Failed)
    assert outcomes[C].text == DIED + "Possible duplicate! (#4.4.2)"
    assert talk.elsewhere() == set()


def test_nonsense_among_the_replies_keeps_those_before_it() -> None:
    outcomes = talking({".": OK + b"hello\r\n"}).mail(ENVELOPE)
    assert outcomes[A] == ACCEPTED
    assert "Possible duplicate!" in outcomes[B].text


def test_421_is_a_reply_like_others_and_then_the_end() -> None:
    talk = talking({".": b"421 4.3.2 closing\r\n" + OK * 2})
    outcomes = talk.mail(ENVELOPE)
    assert isinstance(outcomes[A], Deferred)
    assert outcomes[B] == outcomes[C] == ACCEPTED
    assert talk.client.phase is Phase.CLOSED


@pytest.mark.parametrize("extra", [OK, b"2"])
def test_a_reply_too_many_takes_nothing_back(extra: bytes) -> None:
    talk = talking({".": OK * 3 + extra})
    assert set(talk.mail(ENVELOPE).values()) == {ACCEPTED}


def test_data_that_goes_on_for_nobody_ends_the_session() -> None:
    talk = talking({"RCPT": b"550 no\r\n"})
    assert {type(outcome) for outcome in talk.mail(ENVELOPE).values()} == {Failed}
    assert talk.client.phase is Phase.CLOSED
    assert talk.peer.bodies == []


def test_data_refused_for_nobody_leaves_the_session_open() -> None:
    talk = talking({"RCPT": b"550 no\r\n", "DATA": b"503 no valid recipients\r\n"})
    assert {type(outcome) for outcome in talk.mail(ENVELOPE).values()} == {Failed}
    assert talk.client.phase is Phase.IDLE


def test_helo_is_never_said_to_lmtp() -> None:
    talk = talking({"LHLO": b"500 what?\r\n"})
    [event] = talk.events
    assert isinstance(event, Unusable)
    assert talk.peer.lines == ["LHLO me.example", "QUIT"]


def test_the_clock_goes_on_with_each_reply() -> None:
    client = talking({".": b""}).client
    client.send_mail(ENVELOPE, BODY)
    client.data_to_send()
    client.receive(b"250 ok\r\n" * 4 + b"354 go\r\n")
    client.data_to_send()
    steps = []
    for _ in ENVELOPE.recipients:
        steps.append((client.phase, client.progress))
        events = client.receive(OK)
    assert [phase for phase, _ in steps] == [Phase.FINAL_DOT] * 3
    assert len({progress for _, progress in steps}) == 3
    assert isinstance(events[-1], MailEnd)
