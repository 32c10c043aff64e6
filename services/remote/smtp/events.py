"""What the SMTP machine tells its shell: the phase it is in, and events. Pure; no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tubepost.outcome import Outcome


class Phase(StrEnum):
    """What the machine waits for. BODY: for the shell to take more of the body.

    EHLO is also LHLO, and HANDSHAKE the shell's doing.
    """

    BANNER = "banner"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    HANDSHAKE = "tls handshake"
    AUTH = "auth"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    FINAL_DOT = "final dot"
    IDLE = "idle"
    CLOSED = "closed"

    __hash__ = str.__hash__  # an Enum's own is written in Python, and asked for with each reply


@dataclass(frozen=True, slots=True)
class Ready:
    """The greeting is over: `send_mail` may be called.

    `refused`: the reply to STARTTLS where that was said in vain.
    """

    refused: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """Do the TLS handshake now, then call `tls_started`. Read nothing in between."""


@dataclass(frozen=True, slots=True)
class MailEnd:
    """The mail is over: one outcome for each recipient. Is the phase CLOSED, so is the session.

    `elsewhere`: recipients that another host may be asked to take, as this one has seen nothing of
    the mail's content for them (RMT-5), or lacks what the mail needs. Their outcome is the one to
    keep where there is no other host.
    """

    outcomes: Mapping[str, Outcome]
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Unusable:
    """The session ended while no mail was under way. The fields are those of a Deferred."""

    text: str
    reply: str = ""
    status: str = "4.4.2"
    phase: str = field(default="", compare=False)


Event = Ready | StartTls | MailEnd | Unusable
