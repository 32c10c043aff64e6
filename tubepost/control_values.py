"""qmail's control files as typed settings: name, default, how a value is read. Pure.

A value is stored as the lines an operator wrote, in qmail's own syntax, and read through `parse`;
what `parse` refuses is never stored. A default that depends on `me` is None here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Any, Generic, TypeVar

from tubepost import destination_limits, retry, smtproutes, tcprules
from tubepost.address import parse_address, parse_domain
from tubepost.errors import BadInput, NotFound
from tubepost.tcprules import as_ipv6

T = TypeVar("T")
Lines = tuple[str, ...]


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One control file. `help` says what it does, with the unit."""

    name: str
    parse: Callable[[Lines], T]
    default: T
    help: str
    reader: str
    """The service that acts on it."""


def _one(lines: Lines) -> str:
    if len(lines) != 1 or not lines[0].strip():
        raise BadInput("give exactly one value")
    if not lines[0].isascii() or not lines[0].isprintable():
        raise BadInput("give one line of printable ASCII")
    return lines[0].strip()


def _domain(lines: Lines) -> str:
    return parse_domain(_one(lines))


def _number(low: int, high: int) -> Callable[[Lines], int]:
    def parse(lines: Lines) -> int:
        text = _one(lines)
        if not text.isdecimal() or not low <= int(text) <= high:
            raise BadInput(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return parse


def _mailbox(lines: Lines) -> str:
    text = _one(lines)
    if "@" in text:
        return str(parse_address(text))
    return str(parse_address(f"{text}@localhost")).removesuffix("@localhost")


def _host_patterns(lines: Lines) -> frozenset[str]:
    """rcpthosts: `host`, or `.host` for what is below it."""
    names = (line.strip().lower() for line in lines if line.strip())
    return frozenset(
        "." + parse_domain(name[1:]) if name.startswith(".") else parse_domain(name)
        for name in names
    )


def _senders(lines: Lines) -> frozenset[str]:
    """badmailfrom: `user@host`, or `@host`."""
    texts = (line.strip().lower() for line in lines if line.strip())
    return frozenset(
        "@" + parse_domain(text[1:]) if text.startswith("@") else parse_address(text).key
        for text in texts
    )


def _networks(lines: Lines) -> tuple[IPv6Network, ...]:
    return tuple(_one_network(line.strip()) for line in lines if line.strip())


def _one_network(text: str) -> IPv6Network:
    base, slash, width = text.partition("/")
    try:
        number = as_ipv6(base)
        mapped = "." in base or number.ipv4_mapped is not None
        bits = int(width) + (96 if mapped and "." in base else 0) if slash else 128
        return IPv6Network((number, bits))
    except ValueError as error:
        raise BadInput(f"{text!r} is not an address or network: {error}") from error


ME = Setting[str | None]("me", _domain, None, "This system's own host name.", "all")
SMTPGREETING = Setting[str | None](
    "smtpgreeting", _one, None, "Text after 220; its first word should be the host name.", "smtpd"
)
RCPTHOSTS = Setting[frozenset[str]](
    "rcpthosts",
    _host_patterns,
    frozenset(),
    "Domains mail is taken for besides the ones in the directory: `host` or `.host`.",
    "smtpd",
)
BADMAILFROM = Setting[frozenset[str]](
    "badmailfrom",
    _senders,
    frozenset(),
    "Envelope senders that are refused: `user@host` or `@host`.",
    "smtpd",
)
DATABYTES = Setting(
    "databytes", _number(0, 2**40), 52_428_800, "Octets a mail may have; 0 = no limit.", "smtpd"
)
MAXRCPT = Setting("maxrcpt", _number(1, 100_000), 1000, "Recipients of one mail.", "smtpd")
TIMEOUTSMTPD = Setting(
    "timeoutsmtpd", _number(1, 86_400), 1200, "Seconds smtpd waits for the client.", "smtpd"
)
TCPRULES = Setting(
    "tcprules",
    tcprules.parse,
    tcprules.Rules(),
    'tcpserver rules: 192.0.2.:allow,RELAYCLIENT="".',
    "smtpd",
)
RELAYNETWORKS = Setting[tuple[IPv6Network, ...]](
    "relaynetworks",
    _networks,
    (),
    "Loopback, private or other special networks that may come onto the relay list all the same.",
    "popauth",
)
SMTPROUTES = Setting(
    "smtproutes",
    smtproutes.parse,
    smtproutes.parse(()),
    "Where to send instead of the MX: `domain:relay:port`, `.domain:relay`, `:relay`.",
    "remote",
)
HELOHOST = Setting[str | None](
    "helohost", _domain, None, "Host name for EHLO; else `me`.", "remote"
)
TIMEOUTCONNECT = Setting(
    "timeoutconnect", _number(1, 3600), 60, "Seconds to wait for a connection.", "remote"
)
TIMEOUTREMOTE = Setting(
    "timeoutremote", _number(1, 86_400), 1200, "Seconds to wait for a reply, at most.", "remote"
)
QUEUELIFETIME = Setting(
    "queuelifetime",
    _number(0, 31_536_000),
    604_800,
    "Seconds a mail stays in the queue before its last try.",
    "remote, local",
)
RETRYSCHEDULE = Setting[retry.Schedule](
    "retryschedule",
    lambda lines: retry.parse(_one(lines)),
    retry.Quadratic(),
    "When a deferred mail is tried again: `qmail`, or `exponential FIRST FACTOR MOST` in seconds.",
    "remote, local",
)
RETRYJITTER = Setting(
    "retryjitter",
    _number(0, 4),
    4,
    "How late a try may come, in percent of the wait before it, so that mails deferred together "
    "do not return together; 0 = exactly the schedule.",
    "remote, local",
)
CONCURRENCYLOCAL = Setting(
    "concurrencylocal", _number(0, 10_000), 100, "Local deliveries at once; 0 holds.", "scheduler"
)
CONCURRENCYREMOTE = Setting(
    "concurrencyremote", _number(0, 10_000), 200, "Remote deliveries at once; 0 holds.", "scheduler"
)
DESTINATIONS = Setting(
    "destinations",
    destination_limits.parse,
    destination_limits.parse(()),
    "Deliveries at once to a remote domain, and how many it gets in a time: "
    "`domain:concurrency`, `.domain:concurrency:N/m`, `:20` (all others; the default).",
    "scheduler",
)
BOUNCEFROM = Setting(
    "bouncefrom", _mailbox, "MAILER-DAEMON", "Left side of a bounce's From.", "scheduler"
)
BOUNCEHOST = Setting[str | None](
    "bouncehost", _domain, None, "Right side of a bounce's From; else `me`.", "scheduler"
)
DOUBLEBOUNCETO = Setting(
    "doublebounceto", _mailbox, "postmaster", "Who gets double bounces.", "scheduler"
)
DOUBLEBOUNCEHOST = Setting[str | None](
    "doublebouncehost", _domain, None, "Right side of doublebounceto; else `me`.", "scheduler"
)
BOUNCEMAXBYTES = Setting(
    "bouncemaxbytes",
    _number(0, 2**40),
    50_000,
    "Octets up to which a bounce returns the whole mail, above that its header; 0 = never.",
    "scheduler",
)
DELAYWARNING = Setting(
    "delaywarning",
    _number(0, 31_536_000),
    0,
    "Seconds after which the sender of a mail that still waits is told so, once; 0 = never.",
    "scheduler",
)

SETTINGS: Mapping[str, Setting[Any]] = {
    s.name: s
    for s in (
        ME, SMTPGREETING, RCPTHOSTS, BADMAILFROM, DATABYTES, MAXRCPT, TIMEOUTSMTPD, TCPRULES,
        RELAYNETWORKS, SMTPROUTES, HELOHOST, TIMEOUTCONNECT, TIMEOUTREMOTE, QUEUELIFETIME,
        RETRYSCHEDULE, RETRYJITTER, CONCURRENCYLOCAL, CONCURRENCYREMOTE, DESTINATIONS,
        BOUNCEFROM, BOUNCEHOST, DOUBLEBOUNCETO, DOUBLEBOUNCEHOST, BOUNCEMAXBYTES, DELAYWARNING,
    )
}  # fmt: skip


def setting(name: str) -> Setting[Any]:
    """The setting of that name. Raises NotFound, with the names there are."""
    try:
        return SETTINGS[name]
    except KeyError:
        known = " ".join(sorted(SETTINGS))
        raise NotFound(f"there is no control setting {name!r}; known: {known}") from None
