"""Whatever a peer says, in whatever pieces: nothing raises, and each recipient has one outcome."""

from hypothesis import given
from hypothesis import strategies as st

from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import Event, MailEnd, Phase, Ready, StartTls, Unusable
from services.remote.terms import Dialect
from tests.remote.conversation import IP, sent
from tests.remote.smtp_peer import GREETING, PIPELINING, PLAIN, STARTTLS
from tubepost.outcome import Deferred
from tubepost.record import Envelope
from tubepost.smtproutes import Login

OFFERS = b"250-x\r\n250-AUTH PLAIN LOGIN\r\n250-SIZE 10\r\n250-DSN\r\n250 PIPELINING\r\n"
CHUNKS = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            *(GREETING, PLAIN, PIPELINING, STARTTLS, OFFERS, b"250 ok\r\n", b"354 go\r\n"),
            *(b"550 no\r\n", b"421 bye\r\n", b"250-", b"\r\n", b"\n", b"451 later\r\n"),
            *(b"334 \r\n", b"235 hi\r\n", b"250 ok\r\n" * 3 + b"354 go\r\n", b"220 go\r\n"),
        ]
    ),
)
DIALECTS = st.builds(
    Dialect,
    lmtp=st.booleans(),
    login=st.sampled_from([None, None, Login("user", "password")]),
    login_in_clear=st.booleans(),
)
ENVELOPES = st.builds(
    Envelope,
    st.sampled_from(["", "s@example.org", "s\r\n@example.org", "zo\xeb@example.org"]),
    st.lists(
        st.sampled_from(["a@example.net", "b@example.net", "c\0@example.net", "\xeb@example.net"]),
        max_size=5,
    ).map(tuple),
    smtputf8=st.booleans(),
)
BODIES = st.sampled_from([b"", b"hello\r\n", b"MIME-Version: 1.0\r\n\r\n\xff\r\n", b"x" * 100_000])


class Shell:
    """Does what connection.py does, and keeps the books."""

    def __init__(self, client: SmtpClient, envelope: Envelope, body: bytes) -> None:
        self.client, self.envelope, self.body = client, envelope, body
        self.started = self.ended = self.unusable = 0

    def take(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case StartTls():
                    self.client.tls_started()
                case Ready():
                    self.start()
                case Unusable():
                    self.unusable += 1
                    assert self.client.phase is Phase.CLOSED
                case MailEnd():
                    self.end(event)
        sent(self.client)

    def start(self) -> None:
        if self.client.phase is Phase.IDLE and self.started < 4:
            self.started += 1
            self.take(self.client.send_mail(self.envelope, self.body))

    def end(self, end: MailEnd) -> None:
        self.ended += 1
        assert set(end.outcomes) == set(self.envelope.recipients)
        assert end.elsewhere <= set(end.outcomes)
        for recipient, outcome in end.outcomes.items():
            doubtful = "Possible duplicate!" in outcome.text
            assert not (doubtful and recipient in end.elsewhere)
            assert not doubtful or isinstance(outcome, Deferred)
            assert doubtful == (getattr(outcome, "kind", "") == "in_doubt")
        self.start()


@given(st.lists(CHUNKS, max_size=16), DIALECTS, ENVELOPES, BODIES, st.booleans())
def test_no_peer_raises_out_of_the_machine(
    chunks: list[bytes], dialect: Dialect, envelope: Envelope, body: bytes, secure: bool
) -> None:
    client = SmtpClient(IP, "me.example", secure=secure, dialect=dialect)
    shell = Shell(client, envelope, body)
    for chunk in (GREETING, *chunks):
        shell.take(client.receive(chunk))
    shell.take(client.lost())
    assert shell.ended == shell.started
    assert shell.unusable <= 1
    assert client.phase is Phase.CLOSED
    assert client.receive(b"250 ok\r\n") == client.lost() == []
    assert sent(client) == b""


@given(
    st.lists(st.sampled_from([b"250 ok\r\n", b"550 no\r\n", b"354 go\r\n"]), max_size=9), DIALECTS
)
def test_pieces_make_no_difference(replies: list[bytes], dialect: Dialect) -> None:
    """What comes within the envelope, octet by octet, means what it means at once."""
    envelope = Envelope("s@example.org", ("a@example.net", "b@example.net"))

    def events(piece: int) -> list[Event]:
        client = SmtpClient(IP, "me.example", secure=True, dialect=Dialect(lmtp=dialect.lmtp))
        heard: list[Event] = []
        for octets in (GREETING, PIPELINING):
            client.receive(octets)
            sent(client)
        client.send_mail(envelope, b"hello\r\n")
        for reply in replies:
            sent(client)
            for start in range(0, len(reply), piece):
                heard += client.receive(reply[start : start + piece])
        return heard + client.lost()

    assert events(1) == events(100)
