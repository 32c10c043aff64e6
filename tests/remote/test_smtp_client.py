"""The protocol machine with octets only: what it says, and how a session begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import (
    Phase,
    Ready,
    StartTls,
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
    sent,
)
from tests.remote.smtp_peer import GREETING, PIPELINING, PLAIN, STARTTLS, MemoryPeer
from tubepost.outcome import Deferred, Failed
from tubepost.record import Envelope


@EHLOS
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 10**9])
def test_mail_is_delivered_whatever_the_pieces(ehlo: bytes, piece: int) -> None:
    assert deliver({}, ehlo=ehlo, piece=piece) == dict.fromkeys(ENVELOPE.recipients, ACCEPTED)


@pytest.mark.parametrize("cut", range(1, len(PIPELINING)))
def test_a_reply_may_be_cut_anywhere(cut: int) -> None:
    conversation = Conversation(MemoryPeer())
    conversation.hear(GREETING)
    sent(conversation.client)
    conversation.hear(PIPELINING[:cut])
    assert conversation.events == []
    conversation.hear(PIPELINING[cut:])
    assert conversation.events == [Ready()]


def test_commands_one_by_one() -> None:
    conversation = Conversation(MemoryPeer(ehlo=PLAIN)).greet()
    conversation.mail()
    conversation.client.quit()
    conversation.run()
    assert conversation.peer.lines == [
        "EHLO me.example",
        "MAIL FROM:<s@example.org>",
        "RCPT TO:<a@example.net>",
        "RCPT TO:<b@example.net>",
        "DATA",
        "QUIT",
    ]
    assert conversation.peer.bodies == [BODY]
    assert conversation.client.phase is Phase.CLOSED


def test_without_pipelining_one_command_is_out_at_a_time() -> None:
    client = SmtpClient(IP, "me.example")
    client.receive(GREETING)
    sent(client)
    client.receive(PLAIN)
    client.send_mail(ENVELOPE, BODY)
    assert sent(client) == b"MAIL FROM:<s@example.org>\r\n"
    client.receive(b"250 ok\r\n")
    assert sent(client) == b"RCPT TO:<a@example.net>\r\n"


def test_with_pipelining_the_envelope_goes_at_once() -> None:
    client = SmtpClient(IP, "me.example")
    client.receive(GREETING)
    sent(client)
    client.receive(PIPELINING)
    client.send_mail(ENVELOPE, BODY)
    assert sent(client) == (
        b"MAIL FROM:<s@example.org> SIZE=21\r\n"
        b"RCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
    )


def test_the_phase_follows_the_dialogue() -> None:
    client = SmtpClient(IP, "me.example")
    phases = [client.phase]
    for reply in (GREETING, PLAIN):
        client.receive(reply)
        sent(client)
        phases.append(client.phase)
    client.send_mail(ENVELOPE, BODY)
    for reply in (b"", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n"):
        client.receive(reply)
        sent(client)
        phases.append(client.phase)
    client.receive(b"354 go\r\n")
    phases.append(client.phase)
    sent(client)
    phases.append(client.phase)
    client.receive(b"250 ok\r\n")
    phases.append(client.phase)
    assert phases == [
        *(Phase.BANNER, Phase.EHLO, Phase.IDLE, Phase.MAIL, Phase.RCPT, Phase.RCPT),
        *(Phase.DATA, Phase.BODY, Phase.FINAL_DOT, Phase.IDLE),
    ]


@pytest.mark.parametrize(
    ("body", "on_the_wire"),
    [
        (b"", b""),
        (b"a\r\n", b"a\r\n"),
        (b"no end", b"no end\r\n"),
        (b".\r\n", b"..\r\n"),
        (b".a\r\n..b\r\n.", b"..a\r\n...b\r\n..\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"bare\n.\nends\r.\r", b"bare\r\n..\r\nends\r\n..\r\n"),
        (b"\xff\x00\xfe\r\n", b"\xff\x00\xfe\r\n"),
    ],
)
def test_body_on_the_wire(body: bytes, on_the_wire: bytes) -> None:
    conversation = Conversation(MemoryPeer()).greet()
    conversation.mail(body=body)
    assert conversation.peer.bodies == [on_the_wire]


@given(st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"x", b"\xff"])).map(b"".join))
def test_no_body_ends_early(body: bytes) -> None:
    conversation = Conversation(MemoryPeer()).greet()
    assert set(conversation.mail(body=body).values()) == {ACCEPTED}
    assert len(conversation.peer.bodies) == 1
    assert "DATA" in conversation.peer.lines[-1]


def test_a_big_body_leaves_in_pieces() -> None:
    conversation = Conversation(MemoryPeer()).greet()
    body = b"x" * 70 + b"\r\n"
    conversation.mail(body=body * 10_000)
    assert conversation.peer.bodies == [body * 10_000]


def test_parameters_only_where_offered_and_needed() -> None:
    eight = Conversation(MemoryPeer()).greet()
    eight.mail(body=b"\xe9\r\n")
    assert "MAIL FROM:<s@example.org> SIZE=3 BODY=8BITMIME" in eight.peer.lines
    plain = Conversation(MemoryPeer(ehlo=PLAIN)).greet()
    plain.mail(body=b"\xe9\r\n")
    assert "MAIL FROM:<s@example.org>" in plain.peer.lines


def test_null_sender() -> None:
    conversation = Conversation(MemoryPeer(ehlo=PLAIN)).greet()
    conversation.mail(Envelope("", ("a@example.net",)))
    assert "MAIL FROM:<>" in conversation.peer.lines


def test_a_recipient_named_twice_is_sent_once() -> None:
    conversation = Conversation(MemoryPeer(ehlo=PLAIN)).greet()
    outcomes = conversation.mail(Envelope("", ("a@example.net", "a@example.net")))
    assert outcomes == {"a@example.net": ACCEPTED}
    assert conversation.peer.lines.count("RCPT TO:<a@example.net>") == 1


@EHLOS
def test_mails_one_after_another(ehlo: bytes) -> None:
    conversation = Conversation(MemoryPeer(ehlo=ehlo)).greet()
    for _ in range(3):
        assert set(conversation.mail().values()) == {ACCEPTED}
    assert "RSET" not in conversation.peer.lines
    assert conversation.peer.bodies == [BODY] * 3


@EHLOS
def test_reset_after_a_refused_mail(ehlo: bytes) -> None:
    peer = MemoryPeer({"RCPT": b"550 no\r\n", "DATA": b"503 no recipients\r\n"}, ehlo=ehlo)
    conversation = Conversation(peer).greet()
    conversation.mail()
    peer.answers |= {"RCPT": b"250 ok\r\n", "DATA": b"354 go\r\n"}
    assert set(conversation.mail().values()) == {ACCEPTED}
    assert peer.lines.count("RSET") == 1


def test_refused_reset_defers() -> None:
    peer = MemoryPeer({"MAIL": b"550 no\r\n", "RSET": b"502 what?\r\n"}, ehlo=PLAIN)
    conversation = Conversation(peer).greet()
    conversation.mail()
    for outcome in conversation.mail().values():
        assert isinstance(outcome, Deferred)
        assert "it refused RSET" in outcome.text


# Greeting


@pytest.mark.parametrize("code", [421, 450, 500, 521, 554, 200, 354])
def test_any_other_banner_is_a_failed_greeting(code: int) -> None:
    conversation = Conversation(MemoryPeer()).greet(b"%d go away\r\n" % code)
    said = f"{code} go away"
    assert conversation.events == [
        Unusable(f"Connected to {IP} but greeting failed./Remote host said: {said}", said)
    ]
    assert conversation.peer.lines == ["QUIT"]


@pytest.mark.parametrize("code", [500, 502, 504, 550])
def test_helo_where_ehlo_is_refused(code: int) -> None:
    conversation = Conversation(MemoryPeer(ehlo=b"%d no\r\n" % code)).greet()
    assert conversation.events == [Ready()]
    assert conversation.peer.lines == ["EHLO me.example", "HELO me.example"]
    assert set(conversation.mail(body=b"\xff").values()) == {ACCEPTED}


@pytest.mark.parametrize(
    "answers",
    [
        {"EHLO": b"451 later\r\n"},
        {"EHLO": b"421 later\r\n"},
        {"EHLO": b"354 what\r\n"},
        {"EHLO": b"500 no\r\n", "HELO": b"500 no\r\n"},
        {"EHLO": b"500 no\r\n", "HELO": b"421 later\r\n"},
    ],
)
def test_refused_hello_is_a_failed_greeting(answers: dict[str, bytes]) -> None:
    conversation = Conversation(MemoryPeer(answers)).greet()
    [event] = conversation.events
    assert isinstance(event, Unusable)
    assert event.text.startswith(f"Connected to {IP} but greeting failed./Remote host said: ")


# STARTTLS


def test_starttls_then_a_second_greeting() -> None:
    conversation = Conversation(MemoryPeer(ehlo=STARTTLS)).greet()
    client = conversation.client
    assert conversation.events == [StartTls()]
    assert (client.phase, sent(client)) == (Phase.HANDSHAKE, b"")
    conversation.peer.answers["EHLO"] = PLAIN
    client.tls_started()
    assert client.extensions == {}
    conversation.run()
    assert conversation.events == [StartTls(), Ready()]
    assert conversation.peer.lines == ["EHLO me.example", "STARTTLS", "EHLO me.example"]


def test_starttls_offered_again_inside_tls_is_passed_over() -> None:
    conversation = Conversation(MemoryPeer(ehlo=STARTTLS)).greet()
    conversation.client.tls_started()
    conversation.run()
    assert conversation.events == [StartTls(), Ready()]


def test_starttls_can_be_declined() -> None:
    client = SmtpClient(IP, "me.example", starttls=False)
    client.receive(GREETING)
    sent(client)
    assert client.receive(STARTTLS) == [Ready()]


@pytest.mark.parametrize("refusal", [b"454 not now\r\n", b"501 what?\r\n"])
def test_refused_starttls_goes_on_in_the_clear(refusal: bytes) -> None:
    conversation = Conversation(MemoryPeer({"STARTTLS": refusal}, ehlo=STARTTLS)).greet()
    assert conversation.events == [Ready()]
    assert set(conversation.mail().values()) == {ACCEPTED}


@pytest.mark.parametrize("injected", [b"250 ok\r\n", b"2", b"\r\n"])
def test_plain_text_behind_the_reply_to_starttls_ends_the_session(injected: bytes) -> None:
    peer = MemoryPeer({"STARTTLS": b"220 go\r\n" + injected}, ehlo=STARTTLS)
    [event] = Conversation(peer).greet().events
    assert isinstance(event, Unusable)
    assert "plain text follows" in event.text


# Addresses


@pytest.mark.parametrize("bad", ["a\r\nRSET@x", "a\n@x", "a@x\r", "a\0@x", "\t@x", "a\x7f@x"])
def test_a_recipient_that_would_break_the_command_is_refused(bad: str) -> None:
    conversation = Conversation(MemoryPeer(ehlo=PLAIN)).greet()
    outcomes = conversation.mail(Envelope("s@example.org", (bad, "b@example.net")))
    refused = outcomes[bad]
    assert isinstance(refused, Failed)
    assert refused.status == "5.1.3"
    assert outcomes["b@example.net"] == ACCEPTED
    assert [line for line in conversation.peer.lines if "RCPT" in line] == [
        "RCPT TO:<b@example.net>"
    ]


@pytest.mark.parametrize("sender", ["s\r\n@example.org", "s\0@example.org", "\xe9@example.org"])
def test_a_sender_that_would_break_the_command_is_refused_unsent(sender: str) -> None:
    conversation = Conversation(MemoryPeer()).greet()
    outcomes = conversation.mail(Envelope(sender, ENVELOPE.recipients))
    assert {type(outcome) for outcome in outcomes.values()} == {Failed}
    assert conversation.peer.lines == ["EHLO me.example"]
    assert conversation.client.phase is Phase.IDLE
