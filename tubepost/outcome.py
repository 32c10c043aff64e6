"""What one delivery attempt did for one recipient: Delivered, Deferred or Failed. Pure.

qmail's K, Z and D (qmail-rspawn). There is no fourth outcome: whatever is not known to be
permanent is Deferred. `text` is the sentence the log, the bounce and the operator see; qmail's
wording where qmail has one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

MAX_TEXT = 1000

REMOTE_SAID = "Remote host said: "
"""What stands before a peer's own words in `text`, as qmail-remote has it."""

_PEER = re.compile(r"(?:Connected to )?([0-9a-fA-F.:]+) (?:accepted|but|does|failed) ")
_GIVING_UP = re.compile(r"/Giving up on [0-9a-fA-F.:]*$")
# At the start of a line, or of what one_line made of it, behind the reply code if that is there.
_STATUS = re.compile(r"(?:^|[\n/])(?:\d{3}[ -])?(([245])\.\d{1,3}\.\d{1,3})(?![\d.])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The next hop, or the mailbox, has it and answers for it.

    `reports`: the next hop took over what the sender asked for by NOTIFY (RFC 3461).
    `status`: an RFC 3463 code of class 2. `seconds`: as in Deferred.
    """

    text: str
    peer: str = ""
    reports: bool = False
    tls: str = field(default="", compare=False)  # version and cipher; empty in the clear
    status: str = "2.0.0"
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now; it stays in the queue. `status` is an RFC 3463 code of class 4.

    `seconds`: how long the host took that said so, the connection to it included; 0 where none
    did. Two outcomes that differ in nothing else are the same one. `done`: the names of the
    actions for this recipient that are done and never to be repeated (Recipient.done).
    """

    text: str
    status: str = "4.0.0"
    peer: str = ""
    reply: str = ""  # what the peer said, for Diagnostic-Code; empty where no peer spoke
    no_connection: bool = False  # the destination itself could not be reached
    unasked: bool = False  # no host of it was asked: a fault of ours, or of DNS
    at_once: bool = False  # others of this mail were taken: the next try comes without a wait
    not_before: float = 0.0  # no host of it is tried before this instant (seconds since 1970)
    phase: str = field(default="", compare=False)  # events.Phase of remote, `dns`, `connect`
    kind: str = ""  # in one word what kind of trouble it is: reply_kinds
    seconds: float = field(default=0.0, compare=False)
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Never; the sender gets a bounce. `status` is an RFC 3463 code of class 5."""

    text: str
    status: str = "5.0.0"
    peer: str = ""
    reply: str = ""
    phase: str = field(default="", compare=False)
    kind: str = ""
    seconds: float = field(default=0.0, compare=False)


Outcome = Delivered | Deferred | Failed

RATE_LIMITED = "rate_limited"
"""The kind of what a peer says who gets too much at once, or in a time."""

NAMES: Mapping[type, str] = {Delivered: "success", Deferred: "deferral", Failed: "failure"}
"""As logs, events and metrics call them; the words of qmail-send's log."""


def status_of(reply_text: str, code: int) -> str:
    """The enhanced status code a line of an SMTP reply begins with, or its class's general one.

    A code of another class than the reply's is a peer's mistake; the reply's class rules.
    """
    found = _STATUS.search(reply_text)
    if found and int(found[2]) == code // 100:
        return found[1]
    return f"{code // 100}.0.0"


def timed(outcomes: Mapping[str, Outcome], seconds: float) -> Mapping[str, Outcome]:
    """The outcomes one host gave, with how long it took. Recipients go on sharing theirs."""
    known: dict[int, Outcome] = {}
    found: dict[str, Outcome] = {}
    for recipient, outcome in outcomes.items():
        if id(outcome) not in known:
            known[id(outcome)] = _timed(outcome, seconds)
        found[recipient] = known[id(outcome)]
    return found


def _timed(outcome: Outcome, seconds: float) -> Outcome:
    if isinstance(outcome, Delivered):  # each mail comes here, and `replace` takes twice as long
        return Delivered(
            text=outcome.text,
            peer=outcome.peer,
            reports=outcome.reports,
            tls=outcome.tls,
            status=outcome.status,
            seconds=seconds,
        )
    return replace(outcome, seconds=seconds)


def peer_in(text: str) -> str:
    """The IP of the host that a text of `remote` is about, "" where it names none, or several."""
    found = _PEER.match(text)
    try:
        return str(ip_address(found[1])) if found else ""
    except ValueError:
        return ""


def said_in(text: str) -> str:
    """The peer's SMTP reply in a text of `remote`, "" where no peer spoke."""
    said = text.partition("/" + REMOTE_SAID)[2]
    return _GIVING_UP.sub("", said)


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """`text` as printable ASCII on one line, `/` for a line end, as qmail-send logs it."""
    lines = "/".join(part for part in text.replace("\r", "\n").split("\n") if part.strip())
    kept = lines[:limit]
    if kept.isascii() and kept.isprintable():
        return kept  # nearly always
    return "".join(c if " " <= c <= "~" else "?" for c in kept)
