"""What a sender asks to be told, passed on to a peer that can tell it (RFC 3461 5.2)."""

from tests.remote.conversation import Conversation
from tests.remote.smtp_peer import PIPELINING, PLAIN, MemoryPeer
from tubepost.outcome import Delivered, Outcome
from tubepost.record import Envelope, Wish

DSN = b"250-peer.example\r\n250-PIPELINING\r\n250 DSN\r\n"
A, B = "a@example.net", "b@example.net"
ASKING = Envelope(
    "s@example.org",
    (A, B, "c@example.net"),
    {A: Wish("SUCCESS,DELAY", "rfc822;Old+2BA@example.net"), B: Wish("NEVER")},
    ret="HDRS",
    envid="QQ+2B1",
)


def envelope_lines(ehlo: bytes, envelope: Envelope) -> tuple[list[str], dict[str, Outcome]]:
    peer = MemoryPeer(ehlo=ehlo)
    outcomes = Conversation(peer).greet().mail(envelope)
    return [line for line in peer.lines if line.startswith(("MAIL", "RCPT"))], outcomes


def test_what_the_sender_asks_for_is_passed_on_as_it_came() -> None:
    lines, outcomes = envelope_lines(DSN, ASKING)
    assert lines == [
        "MAIL FROM:<s@example.org> RET=HDRS ENVID=QQ+2B1",
        "RCPT TO:<a@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Old+2BA@example.net",
        "RCPT TO:<b@example.net> NOTIFY=NEVER ORCPT=rfc822;b@example.net",
        "RCPT TO:<c@example.net>",
    ]
    assert all(isinstance(o, Delivered) and o.reports for o in outcomes.values())


def test_a_peer_without_dsn_is_not_asked_and_does_not_report() -> None:
    lines, outcomes = envelope_lines(PIPELINING, ASKING)
    assert lines == [
        "MAIL FROM:<s@example.org> SIZE=21",
        "RCPT TO:<a@example.net>",
        "RCPT TO:<b@example.net>",
        "RCPT TO:<c@example.net>",
    ]
    assert not any(isinstance(o, Delivered) and o.reports for o in outcomes.values())


def test_an_original_recipient_alone_is_passed_on_alone() -> None:
    lines, _ = envelope_lines(DSN, Envelope("", (A,), {A: Wish("", "rfc822;x@y.example")}))
    assert lines == ["MAIL FROM:<>", "RCPT TO:<a@example.net> ORCPT=rfc822;x@y.example"]


def test_a_made_original_recipient_is_xtext_and_left_out_where_it_is_too_long() -> None:
    odd, long = '"a+b =c"@example.net', '"' + "=" * 240 + '"@example.net'
    wishes = dict.fromkeys((odd, long), Wish("NEVER"))
    lines, _ = envelope_lines(DSN, Envelope("", (odd, long), wishes))
    assert lines[1:] == [
        f'RCPT TO:<{odd}> NOTIFY=NEVER ORCPT=rfc822;"a+2Bb+20+3Dc"@example.net',
        f"RCPT TO:<{long}> NOTIFY=NEVER",
    ]


def test_what_dsn_a_peer_offers_before_tls_does_not_count() -> None:
    peer = MemoryPeer(ehlo=b"250-peer.example\r\n250-STARTTLS\r\n250 DSN\r\n")
    talk = Conversation(peer).greet()
    peer.answers["EHLO"] = PLAIN
    talk.client.tls_started()
    talk.run()
    talk.mail(ASKING)
    assert "MAIL FROM:<s@example.org>" in peer.lines
