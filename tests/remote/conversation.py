"""Plays the SMTP machine against a peer in memory."""

import pytest

from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import Event, MailEnd
from tests.remote.smtp_peer import GREETING, PIPELINING, PLAIN, MemoryPeer
from tubepost.outcome import Delivered, Outcome
from tubepost.record import Envelope

IP = "192.0.2.1"
ENVELOPE = Envelope("s@example.org", ("a@example.net", "b@example.net"))
BODY = b"Subject: x\r\n\r\nhello\r\n"


def sent(client: SmtpClient) -> bytes:
    return b"".join(iter(client.data_to_send, b""))


class Conversation:
    """Plays a machine against a peer in memory; `piece`: octets the machine gets at once."""

    def __init__(
        self, peer: MemoryPeer, *, piece: int = 10**9, client: SmtpClient | None = None
    ) -> None:
        self.client = client or SmtpClient(IP, "me.example")
        self.peer, self.piece = peer, piece
        self.events: list[Event] = []

    def hear(self, octets: bytes) -> None:
        for start in range(0, len(octets), self.piece):
            self.events += self.client.receive(octets[start : start + self.piece])

    def run(self) -> "Conversation":
        """Until nobody has anything more to say."""
        while octets := sent(self.client):
            self.hear(self.peer.take(octets))
        return self

    def greet(self, banner: bytes = GREETING) -> "Conversation":
        self.hear(banner)
        return self.run()

    def mail(self, envelope: Envelope = ENVELOPE, body: bytes = BODY) -> dict[str, Outcome]:
        self.events = []
        self.events += self.client.send_mail(envelope, body)
        self.run()
        return self.outcomes()

    def outcomes(self) -> dict[str, Outcome]:
        return dict(self._end().outcomes)

    def elsewhere(self) -> frozenset[str]:
        """Those whom another host may be asked to take."""
        return self._end().elsewhere

    def _end(self) -> MailEnd:
        [end] = [event for event in self.events if isinstance(event, MailEnd)]
        return end


def deliver(
    answers: dict[str, bytes], *, ehlo: bytes = PIPELINING, piece: int = 10**9
) -> dict[str, Outcome]:
    return Conversation(MemoryPeer(answers, ehlo=ehlo), piece=piece).greet().mail()


ACCEPTED = Delivered(
    text=f"{IP} accepted message./Remote host said: 250 2.0.0 queued as 42", peer=IP
)
EHLOS = pytest.mark.parametrize("ehlo", [PLAIN, PIPELINING], ids=["one-by-one", "pipelined"])
