"""The control settings of remote: where mail goes, from where, on which terms. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from tubepost import reply_kinds, smtproutes, source_ips, tls_policy
from tubepost.setting import Setting, domain, host_patterns, number, one_of, some_of

LONGEST_SUPPRESSION = 31_536_000
"""Seconds; the bucket forgets what is older."""

SMTPROUTES = Setting(
    "smtproutes",
    smtproutes.parse,
    smtproutes.parse(()),
    "Where to send instead of the MX: `domain:relay:port`, `.domain:relay`, `:relay`.",
    "remote",
)
MXNAMES = Setting[frozenset[str]](
    "mxnames",
    host_patterns,
    frozenset(),
    "Names that MX records have for this system, besides `me`: `host` or `.host`. Mail is never "
    "sent there, nor to `localips`.",
    "remote",
)
IPFAMILIES = Setting[tuple[str, ...]](
    "ipfamilies",
    some_of("4", "6"),
    ("4", "6"),
    "Protocols mail is sent by, `4 6` (the default), `6 4`, `4` or `6`: the first is tried first.",
    "remote",
)
OUTGOINGIP = Setting[source_ips.SourceIps](
    "outgoingip",
    source_ips.parse,
    (),
    "IPs to send from: one IPv4, one IPv6, or one of each; else the kernel's choice.",
    "remote",
)
TLSPOLICY = Setting(
    "tlspolicy",
    tls_policy.parse,
    tls_policy.parse(()),
    "TLS by mail domain: `domain:none`, `may`, `encrypt` or `verify[:name,.name2]`; "
    "`.suffix:...`, `:...` for all others.",
    "remote",
)
HELOHOST = Setting[str | None]("helohost", domain, None, "Host name for EHLO; else `me`.", "remote")
EIGHTBIT = Setting(
    "eightbit",
    one_of("convert", "send"),
    "convert",
    "Octets above 127 for a host without 8BITMIME: `convert` to quoted-printable, or `send`.",
    "remote",
)
TIMEOUTCONNECT = Setting(
    "timeoutconnect", number(1, 3600), 60, "Seconds to wait for a connection.", "remote"
)
TIMEOUTREMOTE = Setting(
    "timeoutremote", number(1, 86_400), 1200, "Seconds to wait for a reply, at most.", "remote"
)
CONNECTIONIDLE = Setting(
    "connectionidle",
    number(0, 300),
    5,
    "Seconds a connection is kept for the next mail; 0 = each mail has its own.",
    "remote",
)
CONNECTIONLIFE = Setting(
    "connectionlife", number(1, 86_400), 300, "Seconds after which it gets no more mails.", "remote"
)
CONNECTIONMAILS = Setting(
    "connectionmails", number(1, 100_000), 100, "Mails over one connection, at most.", "remote"
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
HOSTBACKOFF = Setting(
    "hostbackoff",
    number(0, 86_400),
    3600,
    "Seconds an address of another host that failed twice is left alone at most; 0 = never.",
    "remote",
)
