"""Mail whose sender asked for SMTPUTF8, to peers that offer it and others (RFC 6531)."""

from tests.remote.conversation import Conversation
from tests.remote.smtp_peer import PIPELINING, MemoryPeer
from tubepost.outcome import Delivered, Failed, Outcome
from tubepost.record import Envelope, Wish

UTF8 = b"250-peer.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n"
A, ZOE = "a@example.net", "zoë@example.net"
WIDE_HEADER = "Subject: Grüße\r\n\r\nhi\r\n".encode()
WIDE_BODY = "Subject: x\r\n\r\nGrüße\r\n".encode()


def sent(ehlo: bytes, envelope: Envelope, body: bytes) -> tuple[list[str], dict[str, Outcome]]:
    peer = MemoryPeer(ehlo=ehlo)
    outcomes = Conversation(peer).greet().mail(envelope, body)
    return [line for line in peer.lines if line.startswith(("MAIL", "RCPT"))], outcomes


def asking(sender: str, *recipients: str) -> Envelope:
    return Envelope(sender, recipients, smtputf8=True)


def failed(outcomes: dict[str, Outcome]) -> list[str]:
    for address, outcome in outcomes.items():
        if isinstance(outcome, Failed):
            assert outcome.status == "5.6.7", address
            assert "does not offer SMTPUTF8" in outcome.text
    return [address for address, outcome in outcomes.items() if isinstance(outcome, Failed)]


def test_a_peer_that_offers_it_is_asked_for_it() -> None:
    envelope = Envelope("josé@x.example", (ZOE,), {ZOE: Wish("NEVER")}, smtputf8=True)
    lines, outcomes = sent(UTF8, envelope, WIDE_HEADER)
    assert lines == [
        "MAIL FROM:<josé@x.example> BODY=8BITMIME SMTPUTF8",
        r"RCPT TO:<zoë@example.net> NOTIFY=NEVER ORCPT=utf-8;zo\x{EB}@example.net",
    ]
    assert isinstance(outcomes[ZOE], Delivered)


def test_a_wide_recipient_alone_fails_where_it_is_not_offered() -> None:
    lines, outcomes = sent(PIPELINING, asking("s@x.example", A, ZOE), b"Subject: x\r\n\r\nhi\r\n")
    assert lines[1:] == ["RCPT TO:<a@example.net>"]
    assert failed(outcomes) == [ZOE]


def test_a_wide_sender_or_header_fails_for_all() -> None:
    for sender, body in (("josé@x.example", WIDE_BODY), ("s@x.example", WIDE_HEADER)):
        lines, outcomes = sent(PIPELINING, asking(sender, A, "b@example.net"), body)
        assert lines == []
        assert failed(outcomes) == [A, "b@example.net"]


def test_a_mail_that_does_not_need_it_goes_as_any_other() -> None:
    lines, outcomes = sent(PIPELINING, asking("s@xn--mller-kva.example", A), WIDE_BODY)
    assert lines[0].startswith("MAIL FROM:<s@xn--mller-kva.example>")
    assert "SMTPUTF8" not in lines[0]
    assert isinstance(outcomes[A], Delivered)


def test_a_wide_header_of_a_sender_who_did_not_ask_is_sent_as_ever() -> None:
    lines, outcomes = sent(UTF8, Envelope("s@x.example", (A,)), WIDE_HEADER)
    assert lines[0] == "MAIL FROM:<s@x.example> BODY=8BITMIME"
    assert isinstance(outcomes[A], Delivered)
