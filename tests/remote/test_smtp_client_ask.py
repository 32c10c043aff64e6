"""Asking a peer about recipients: a transaction that ends before DATA."""

import pytest

from services.remote.smtp.events import Phase
from tests.remote.conversation import ACCEPTED, EHLOS, ENVELOPE, IP, Conversation
from tests.remote.smtp_peer import MemoryPeer
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import Envelope

QUESTION = Envelope("", ENVELOPE.recipients)
FIRST, SECOND = ENVELOPE.recipients


def asked(
    answers: dict[str, bytes], ehlo: bytes, question: Envelope = QUESTION
) -> tuple[Conversation, dict[str, Outcome]]:
    conversation = Conversation(MemoryPeer(answers, ehlo=ehlo)).greet()
    conversation.events = list(conversation.client.ask(question))
    return conversation, conversation.run().outcomes()


@EHLOS
def test_a_question_sends_no_mail_and_leaves_the_session_clean(ehlo: bytes) -> None:
    conversation, outcomes = asked({}, ehlo)
    text = f"{IP} accepts the recipient./Remote host said: 250 recipient ok"
    assert outcomes == dict.fromkeys(ENVELOPE.recipients, Delivered(text=text, peer=IP))
    verbs = [line.split()[0] for line in conversation.peer.lines]
    assert verbs == ["EHLO", "MAIL", "RCPT", "RCPT", "RSET"]
    assert conversation.peer.lines[1].startswith("MAIL FROM:<>")
    assert conversation.peer.bodies == []
    assert conversation.client.phase is Phase.IDLE
    assert conversation.mail() == dict.fromkeys(ENVELOPE.recipients, ACCEPTED)
    assert [line.split()[0] for line in conversation.peer.lines[5:]] == [*verbs[1:4], "DATA"]


@EHLOS
def test_each_recipient_has_its_own_answer(ehlo: bytes) -> None:
    answers = {f"RCPT TO:<{FIRST}>": b"550 5.1.1 who?\r\n", f"RCPT TO:<{SECOND}>": b"450 soon\r\n"}
    conversation, outcomes = asked(answers, ehlo)
    assert isinstance(outcomes[FIRST], Failed)
    assert isinstance(outcomes[SECOND], Deferred)
    assert conversation.client.phase is Phase.IDLE


@EHLOS
@pytest.mark.parametrize("rcpt", [b"503 no\r\n", b"250 why not\r\n"])
def test_a_refused_sender_is_the_answer_for_all(ehlo: bytes, rcpt: bytes) -> None:
    conversation, outcomes = asked({"MAIL": b"550 no null sender\r\n", "RCPT": rcpt}, ehlo)
    assert {type(outcome) for outcome in outcomes.values()} == {Failed}
    assert conversation.client.phase is Phase.IDLE


@EHLOS
def test_a_refused_rset_ends_the_session_and_keeps_the_answers(ehlo: bytes) -> None:
    conversation, outcomes = asked({"RSET": b"500 what?\r\n"}, ehlo)
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}
    assert conversation.client.phase is Phase.CLOSED


def test_an_address_that_would_end_the_command_is_not_asked_about() -> None:
    conversation = Conversation(MemoryPeer()).greet()
    events = conversation.client.ask(Envelope("", ("a\r\nDATA@example.net",)))
    conversation.events = list(events)
    [outcome] = conversation.run().outcomes().values()
    assert isinstance(outcome, Failed)
    assert len(conversation.peer.lines) == 1
