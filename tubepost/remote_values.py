"""The control settings of remote: where mail goes, from where, on which terms. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from tubepost import reply_kinds, smtproutes
from tubepost.setting import Setting, domain, number

LONGEST_SUPPRESSION = 31_536_000
"""Seconds; the bucket forgets what is older."""

SMTPROUTES = Setting(
    "smtproutes",
    smtproutes.parse,
    smtproutes.parse(()),
    "Where to send instead of the MX: `domain:relay:port`, `.domain:relay`, `:relay`.",
    "remote",
)
HELOHOST = Setting[str | None]("helohost", domain, None, "Host name for EHLO; else `me`.", "remote")
TIMEOUTCONNECT = Setting(
    "timeoutconnect", number(1, 3600), 60, "Seconds to wait for a connection.", "remote"
)
TIMEOUTREMOTE = Setting(
    "timeoutremote", number(1, 86_400), 1200, "Seconds to wait for a reply, at most.", "remote"
)
REPLYKINDS = Setting[tuple[reply_kinds.Rule, ...]](
    "replykinds",
    reply_kinds.parse,
    (),
    "What kind of trouble a reply is, `kind:regular expression` a line; asked before what is known "
    "of replies.",
    "remote",
)
SUPPRESS = Setting(
    "suppress",
    number(0, LONGEST_SUPPRESSION),
    0,
    "Seconds a recipient whom a host refused as unknown or disabled is not tried again: a later "
    "mail fails at once; 0 = every mail is tried.",
    "remote",
)
