"""qmail's control files as typed settings: name, default, how a value is read. Pure.

A value is stored as the lines an operator wrote, in qmail's own syntax, and read through `parse`;
what `parse` refuses is never stored. A default that depends on `me` is None here. The settings of
smtpd stand in smtp_values, those of remote in remote_values.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from tubepost import destination_limits, local_values, remote_values, retry, smtp_values
from tubepost.errors import NotFound
from tubepost.setting import Setting, domain, mailbox, number, one_line

ME = Setting[str | None]("me", domain, None, "This system's own host name.", "all")
QUEUELIFETIME = Setting(
    "queuelifetime",
    number(0, 31_536_000),
    604_800,
    "Seconds a mail stays in the queue before its last try.",
    "remote, local",
)
RETRYSCHEDULE = Setting[retry.Schedule](
    "retryschedule",
    lambda lines: retry.parse(one_line(lines)),
    retry.Quadratic(),
    "When a deferred mail is tried again: `qmail`, or `exponential FIRST FACTOR MOST` in seconds.",
    "remote, local",
)
RETRYJITTER = Setting(
    "retryjitter",
    number(0, 4),
    4,
    "How late a try may come, in percent of the wait before it, so that mails deferred together "
    "do not return together; 0 = exactly the schedule.",
    "remote, local",
)
CONCURRENCYLOCAL = Setting(
    "concurrencylocal", number(0, 10_000), 100, "Local deliveries at once; 0 holds.", "scheduler"
)
CONCURRENCYREMOTE = Setting(
    "concurrencyremote", number(0, 10_000), 200, "Remote deliveries at once; 0 holds.", "scheduler"
)
DESTINATIONS = Setting(
    "destinations",
    destination_limits.parse,
    destination_limits.parse(()),
    "Deliveries at once to a remote domain, and how many it gets in a time: "
    "`domain:concurrency`, `.domain:concurrency:N/m`, `:20` (all others; the default). "
    "`mx .host:concurrency:N/s`: what all domains with such an MX host share.",
    "scheduler",
)
BOUNCEFROM = Setting(
    "bouncefrom", mailbox, "MAILER-DAEMON", "Left side of a bounce's From.", "scheduler"
)
BOUNCEHOST = Setting[str | None](
    "bouncehost", domain, None, "Right side of a bounce's From; else `me`.", "scheduler"
)
DOUBLEBOUNCETO = Setting(
    "doublebounceto", mailbox, "postmaster", "Who gets double bounces.", "scheduler"
)
DOUBLEBOUNCEHOST = Setting[str | None](
    "doublebouncehost", domain, None, "Right side of doublebounceto; else `me`.", "scheduler"
)
BOUNCEMAXBYTES = Setting(
    "bouncemaxbytes",
    number(0, 2**40),
    50_000,
    "Octets up to which a bounce returns the whole mail, above that its header; 0 = never.",
    "scheduler",
)
DELAYWARNING = Setting(
    "delaywarning",
    number(0, 31_536_000),
    0,
    "Seconds after which the sender of a mail that still waits is told so, once; 0 = never.",
    "scheduler",
)

SETTINGS: Mapping[str, Setting[Any]] = {
    found.name: found
    for found in (
        *globals().values(),
        *vars(smtp_values).values(),
        *vars(remote_values).values(),
        *vars(local_values).values(),
    )
    if isinstance(found, Setting)
}


def setting(name: str) -> Setting[Any]:
    """The setting of that name. Raises NotFound, with the names that are like it."""
    try:
        return SETTINGS[name]
    except KeyError:
        alike = " ".join(get_close_matches(name, SETTINGS))
        hint = f"is it one of: {alike}?" if alike else "see: tubepost control list"
        raise NotFound(f"there is no control setting {name!r}; {hint}") from None
