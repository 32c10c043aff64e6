"""What the SMTP machine tells its shell: the phase it is in, and events. Pure; no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tubepost.outcome import Outcome


class Phase(StrEnum):
    """What the machine waits for. BODY: for the shell to take more of the body."""

    BANNER = "banner"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    HANDSHAKE = "tls handshake"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    FINAL_DOT = "final dot"
    IDLE = "idle"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Ready:
    """The greeting is over: `send_mail` may be called."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Do the TLS handshake now, then call `tls_started`. Read nothing in between."""


@dataclass(frozen=True, slots=True)
class MailEnd:
    """The mail is over: one outcome for each recipient. Is the phase CLOSED, so is the session."""

    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Unusable:
    """The session ended while no mail was under way. `text`: qmail's sentence, as in an Outcome.

    `host_fault`: it says something about the host, whoever calls: its greeting was no welcome.
    """

    text: str
    reply: str = ""
    host_fault: bool = field(default=False, compare=False)


Event = Ready | StartTls | MailEnd | Unusable
