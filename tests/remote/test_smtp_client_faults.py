"""The protocol machine with octets only: refusals, and sessions that break."""

import pytest

from services.remote.smtp.events import (
    MailEnd,
    Phase,
    Unusable,
)
from tests.remote.conversation import (
    ACCEPTED,
    BODY,
    EHLOS,
    ENVELOPE,
    IP,
    Conversation,
    deliver,
)
from tests.remote.smtp_peer import PIPELINING, PLAIN, STARTTLS, MemoryPeer
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import Envelope

SENDER = f"Connected to {IP} but sender was rejected."
RECIPIENT = f"{IP} does not like recipient."
GIVING_UP = f"/Giving up on {IP}."


@EHLOS
@pytest.mark.parametrize(
    ("answers", "first_line", "ending"),
    [
        ({"MAIL": b"%d 4.5.6 no\r\n", "RCPT": b"503 no\r\n", "DATA": b"503 no\r\n"}, SENDER, ""),
        ({"RCPT": b"%d 4.5.6 no\r\n", "DATA": b"503 no\r\n"}, RECIPIENT, GIVING_UP),
        ({"DATA": b"%d 4.5.6 no\r\n"}, f"{IP} failed on DATA command.", ""),
        ({".": b"%d 4.5.6 no\r\n"}, f"{IP} failed after I sent the message.", ""),
    ],
    ids=["mail", "rcpt", "data", "final dot"],
)
@pytest.mark.parametrize("code", [450, 451, 452, 550, 552, 554])
def test_refusal(
    ehlo: bytes, answers: dict[str, bytes], first_line: str, ending: str, code: int
) -> None:
    filled = {verb: a % code if b"%d" in a else a for verb, a in answers.items()}
    said = f"{code} 4.5.6 no"
    text = f"{first_line}/Remote host said: {said}{ending}"
    outcome: Outcome = (
        Failed(text=text, status="5.0.0", peer=IP, reply=said)
        if code >= 500
        else Deferred(text=text, status="4.5.6", peer=IP, reply=said)
    )
    assert deliver(filled, ehlo=ehlo) == dict.fromkeys(ENVELOPE.recipients, outcome)


@EHLOS
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("code", [150, 299, 399])
def test_a_code_out_of_place_never_fails_for_good(ehlo: bytes, verb: str, code: int) -> None:
    for outcome in deliver({verb: b"%d hm\r\n" % code}, ehlo=ehlo).values():
        assert isinstance(outcome, Deferred | Delivered)
        by_its_class_good = code == (399 if verb == "DATA" else 299)
        assert isinstance(outcome, Delivered) == by_its_class_good


@EHLOS
def test_each_recipient_has_an_outcome_of_its_own(ehlo: bytes) -> None:
    peer = MemoryPeer(
        {"RCPT TO:<b": b"450 4.2.1 busy\r\n", "RCPT TO:<c": b"550 5.1.1 who?\r\n"}, ehlo=ehlo
    )
    recipients = tuple(f"{name}@example.net" for name in "abc")
    outcomes = Conversation(peer).greet().mail(Envelope("s@example.org", recipients))
    assert outcomes == {
        "a@example.net": ACCEPTED,
        "b@example.net": Deferred(
            text=f"{RECIPIENT}/Remote host said: 450 4.2.1 busy{GIVING_UP}",
            status="4.2.1",
            peer=IP,
            reply="450 4.2.1 busy",
        ),
        "c@example.net": Failed(
            text=f"{RECIPIENT}/Remote host said: 550 5.1.1 who?{GIVING_UP}",
            status="5.1.1",
            peer=IP,
            reply="550 5.1.1 who?",
        ),
    }


@EHLOS
def test_only_accepted_recipients_get_the_outcome_of_data(ehlo: bytes) -> None:
    outcomes = deliver({"RCPT TO:<a": b"550 who?\r\n", "DATA": b"451 later\r\n"}, ehlo=ehlo)
    assert isinstance(outcomes["a@example.net"], Failed)
    assert isinstance(outcomes["b@example.net"], Deferred)


@pytest.mark.parametrize("dot", [b"250 ok\r\n", b"554 no valid recipients\r\n"])
@pytest.mark.parametrize("refused", ["MAIL", "RCPT"])
def test_lone_dot_when_all_are_refused_and_data_is_not(refused: str, dot: bytes) -> None:
    peer = MemoryPeer({refused: b"550 no\r\n", ".": dot})
    conversation = Conversation(peer).greet()
    outcomes = conversation.mail()
    assert all(isinstance(outcome, Failed) for outcome in outcomes.values())
    assert all("550 no" in outcome.text for outcome in outcomes.values())
    assert peer.bodies == [b""]
    assert conversation.client.phase is Phase.IDLE


def test_without_pipelining_data_is_not_sent_for_nobody() -> None:
    peer = MemoryPeer({"RCPT": b"550 no\r\n"}, ehlo=PLAIN)
    Conversation(peer).greet().mail()
    assert "DATA" not in peer.lines


# Sessions that break

DIED = f"Connected to {IP} but connection died. (#4.4.2)"
IN_DOUBT = f"Connected to {IP} but connection died. Possible duplicate! (#4.4.2)"


@pytest.mark.parametrize(
    ("unanswered", "ehlo", "text"),
    [
        ("MAIL", PLAIN, DIED),
        ("RCPT TO:<a", PLAIN, DIED),
        ("RCPT TO:<b", PLAIN, DIED),
        ("DATA", PLAIN, DIED),
        ("DATA", PIPELINING, DIED),
        (".", PLAIN, IN_DOUBT),
        (".", PIPELINING, IN_DOUBT),
    ],
)
def test_lost_connection(unanswered: str, ehlo: bytes, text: str) -> None:
    conversation = Conversation(MemoryPeer({unanswered: b""}, ehlo=ehlo)).greet()
    conversation.events = conversation.client.send_mail(ENVELOPE, BODY)
    conversation.run()
    assert conversation.events == []
    conversation.events += conversation.client.lost()
    kind = "in_doubt" if unanswered == "." else ""
    outcome = Deferred(text=text, status="4.4.2", peer=IP, kind=kind)
    assert conversation.outcomes() == dict.fromkeys(ENVELOPE.recipients, outcome)
    assert conversation.elsewhere() == (set() if unanswered == "." else set(ENVELOPE.recipients))
    assert conversation.client.phase is Phase.CLOSED
    assert conversation.client.lost() == []


def test_lost_within_the_body_leaves_no_doubt() -> None:
    client = Conversation(MemoryPeer()).greet().client
    client.send_mail(ENVELOPE, b"x" * 100_000)
    client.data_to_send()
    client.receive(b"250 ok\r\n" * 3 + b"354 go\r\n")
    client.data_to_send()
    assert client.phase is Phase.BODY
    [end] = client.lost()
    assert isinstance(end, MailEnd)
    assert {outcome.text for outcome in end.outcomes.values()} == {DIED}


def test_a_refused_recipient_stays_refused_when_the_connection_dies() -> None:
    peer = MemoryPeer({"RCPT TO:<a": b"550 who?\r\n", ".": b""})
    conversation = Conversation(peer).greet()
    conversation.events = conversation.client.send_mail(ENVELOPE, BODY)
    conversation.run()
    conversation.events += conversation.client.lost()
    outcomes = conversation.outcomes()
    assert isinstance(outcomes["a@example.net"], Failed)
    assert outcomes["b@example.net"].text == IN_DOUBT


@pytest.mark.parametrize("unanswered", ["EHLO", "HELO", "STARTTLS"])
def test_lost_before_mail_is_unusable(unanswered: str) -> None:
    answers = {unanswered: b""} | ({"EHLO": b"500 no\r\n"} if unanswered == "HELO" else {})
    conversation = Conversation(MemoryPeer(answers, ehlo=answers.get("EHLO", STARTTLS))).greet()
    assert conversation.events == []
    assert conversation.client.lost() == [Unusable(DIED)]


@EHLOS
@pytest.mark.parametrize("verb", ["MAIL", "RCPT TO:<a", "RCPT TO:<b", "DATA"])
def test_421_ends_the_session(ehlo: bytes, verb: str) -> None:
    conversation = Conversation(MemoryPeer({verb: b"421 closing\r\n"}, ehlo=ehlo)).greet()
    said = "421 closing"
    outcome = Deferred(text=f"{DIED}/Remote host said: {said}", status="4.4.2", peer=IP, reply=said)
    assert conversation.mail() == dict.fromkeys(ENVELOPE.recipients, outcome)
    assert conversation.client.phase is Phase.CLOSED


def test_another_host_is_not_asked_about_those_who_have_an_answer() -> None:
    answers = {"RCPT TO:<a": b"550 who?\r\n", "RCPT TO:<b": b"450 busy\r\n", "RCPT TO:<d": b""}
    conversation = Conversation(MemoryPeer(answers, ehlo=PLAIN)).greet()
    recipients = tuple(f"{name}@example.net" for name in "abcd")
    conversation.events = conversation.client.send_mail(Envelope("", recipients), BODY)
    conversation.run()
    conversation.events += conversation.client.lost()
    assert conversation.elsewhere() == {"c@example.net", "d@example.net"}
    kinds = [type(outcome) for outcome in conversation.outcomes().values()]
    assert kinds.count(Failed) == 1


@EHLOS
@pytest.mark.parametrize("answer", [b"250 fine\r\n", b"220 x\r\n", b"150 hm\r\n"])
def test_data_answered_as_if_it_were_another_command_ends_the_session(
    ehlo: bytes, answer: bytes
) -> None:
    """The peer may still expect a command, or the mail: nothing more can be told to it."""
    conversation = Conversation(MemoryPeer({"DATA": answer}, ehlo=ehlo)).greet()
    for outcome in conversation.mail().values():
        assert isinstance(outcome, Deferred)
        assert "out of turn" in outcome.text
    assert conversation.client.phase is Phase.CLOSED


@pytest.mark.parametrize("answer", [b"354 go\r\n", b"150 hm\r\n"])
def test_a_final_dot_answered_by_neither_yes_nor_no_ends_the_session(answer: bytes) -> None:
    conversation = Conversation(MemoryPeer({".": answer})).greet()
    assert {type(outcome) for outcome in conversation.mail().values()} == {Deferred}
    assert conversation.client.phase is Phase.CLOSED


PHASES = {"MAIL": "mail", "RCPT": "rcpt", "DATA": "data", ".": "final dot"}


@EHLOS
@pytest.mark.parametrize("answer", [b"550 no\r\n", b"450 no\r\n", b"421 no\r\n", b"nonsense\r\n"])
@pytest.mark.parametrize("verb", PHASES)
def test_an_outcome_names_its_phase(ehlo: bytes, answer: bytes, verb: str) -> None:
    for outcome in deliver({verb: answer}, ehlo=ehlo).values():
        assert not isinstance(outcome, Delivered)
        assert outcome.phase == PHASES[verb]


def test_421_to_the_final_dot_is_a_clear_answer() -> None:
    conversation = Conversation(MemoryPeer({".": b"421 closing\r\n"})).greet()
    said = "421 closing"
    text = f"{IP} failed after I sent the message./Remote host said: {said}"
    outcome = Deferred(text=text, status="4.0.0", peer=IP, reply=said)
    assert conversation.mail() == dict.fromkeys(ENVELOPE.recipients, outcome)
    assert conversation.client.phase is Phase.CLOSED


def test_421_when_idle() -> None:
    conversation = Conversation(MemoryPeer()).greet()
    [event] = conversation.client.receive(b"421 idle for too long\r\n")
    assert isinstance(event, Unusable)
    assert conversation.client.phase is Phase.CLOSED


NONSENSE = [b"hello\r\n", b"\x00\xff\r\n", b"250-a\r\n550 b\r\n", b"2" * 5000, b"250-x\r\n" * 300]


@EHLOS
@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("verb", ["MAIL", "RCPT TO:<a", "RCPT TO:<b", "DATA", "."])
def test_nonsense_defers(ehlo: bytes, nonsense: bytes, verb: str) -> None:
    for outcome in deliver({verb: nonsense}, ehlo=ehlo).values():
        assert isinstance(outcome, Deferred)
        assert outcome.text.startswith(f"Connected to {IP} but the reply made no sense: ")
        assert outcome.text.endswith("(#4.5.0)")
        assert ("Possible duplicate!" in outcome.text) == (verb == ".")
        assert (outcome.kind == "in_doubt") == (verb == ".")


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("verb", ["EHLO", "STARTTLS"])
def test_nonsense_before_mail_is_unusable(nonsense: bytes, verb: str) -> None:
    answers = {"EHLO": STARTTLS} | {verb: nonsense}
    [event] = Conversation(MemoryPeer(answers, ehlo=answers["EHLO"])).greet().events
    assert isinstance(event, Unusable)
    assert "made no sense" in event.text


@EHLOS
@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT TO:<b", "DATA"])
def test_a_reply_too_many_is_never_taken_for_the_next_one(ehlo: bytes, verb: str) -> None:
    """Else `250` sent ahead could stand for the reply to the final dot."""
    peer = MemoryPeer(ehlo=ehlo)
    peer.answers[verb] = peer.answers[verb[:4]] + b"250 ok\r\n" * 3
    conversation = Conversation(peer).greet()
    if verb == "EHLO":
        assert isinstance(conversation.events[-1], Unusable)
    else:
        assert not any(isinstance(o, Delivered) for o in conversation.mail().values())
    assert conversation.client.phase is Phase.CLOSED


def test_a_reply_too_few_blames_no_recipient() -> None:
    """One 550 for two recipients, then 354: it is not known who was refused."""
    client = Conversation(MemoryPeer()).greet().client
    client.send_mail(ENVELOPE, BODY)
    client.data_to_send()
    [end] = client.receive(b"250 sender ok\r\n550 who?\r\n354 go\r\n")
    assert isinstance(end, MailEnd)
    text = f"Connected to {IP} but it spoke out of turn. (#4.5.0)/Remote host said: 354 go"
    outcome = Deferred(text=text, status="4.5.0", peer=IP, reply="354 go")
    assert end.outcomes == dict.fromkeys(ENVELOPE.recipients, outcome)


def test_half_a_reply_too_many_is_not_taken_for_the_next_one() -> None:
    peer = MemoryPeer({"DATA": b"354 go\r\n250 o"}, ehlo=PLAIN)
    outcomes = Conversation(peer).greet().mail()
    assert all(isinstance(outcome, Deferred) for outcome in outcomes.values())


def test_a_reply_within_the_body_defers() -> None:
    client = Conversation(MemoryPeer()).greet().client
    client.send_mail(ENVELOPE, b"x" * 200_000)
    client.data_to_send()
    client.receive(b"250 ok\r\n" * 3 + b"354 go\r\n")
    client.data_to_send()
    [end] = client.receive(b"552 too big\r\n")
    assert isinstance(end, MailEnd)
    for outcome in end.outcomes.values():
        assert isinstance(outcome, Deferred)
        assert outcome.reply == "552 too big"
