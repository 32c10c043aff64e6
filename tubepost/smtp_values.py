"""The control settings of smtpd, and of what decides who may relay. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from ipaddress import IPv6Network

from tubepost import blocklists, sender_patterns, tcprules
from tubepost.setting import Setting, host_patterns, networks, number, one_line, one_of

SMTPGREETING = Setting[str | None](
    "smtpgreeting",
    one_line,
    None,
    "Text after 220; its first word should be the host name.",
    "smtpd",
)
RCPTHOSTS = Setting[frozenset[str]](
    "rcpthosts",
    host_patterns,
    frozenset(),
    "Domains mail is taken for besides the ones in the directory: `host` or `.host`.",
    "smtpd",
)
BADMAILFROM = Setting(
    "badmailfrom",
    sender_patterns.parse_senders,
    sender_patterns.Senders(),
    "Envelope senders that are refused: `user@host`, `@host`, wildcards, and SPAMCONTROL's forms.",
    "smtpd",
)
BADRCPTTO = Setting(
    "badrcptto",
    sender_patterns.parse_recipients,
    sender_patterns.Patterns(),
    "Recipients that are refused from everybody: `user@host`, `@host`, wildcards, `!` exceptions.",
    "smtpd",
)
BADHELO = Setting(
    "badhelo",
    sender_patterns.parse_hosts,
    sender_patterns.Patterns(),
    "HELO names that are refused from whoever may not relay: names, wildcards, `!` exceptions.",
    "smtpd",
)
HELOCHECK = Setting(
    "helocheck",
    one_of("0", ".", "=", "a", "m"),
    "0",
    "What a HELO needs: `.` to be there, `=` to be the client's reverse name, `A` an address, "
    "`M` an MX or address; 0 = nothing.",
    "smtpd",
)
MFDNSCHECK = Setting(
    "mfdnscheck",
    number(0, 1),
    0,
    "1: the sender's domain needs an MX or address record; 0 = it is not asked.",
    "smtpd",
)
LOOKUPHOST = Setting(
    "lookuphost",
    one_of("0", "1", "paranoid"),
    "0",
    "1: look up the client's name; `paranoid`: it counts only where it points back; 0 = never.",
    "smtpd",
)
RBL = Setting[blocklists.Lists](
    "rbl",
    blocklists.parse,
    (),
    "DNS lists of clients, the first that has one decides: `base`, `-r base`, `-a base` (lets in).",
    "smtpd",
)
RBLTIMEOUT = Setting(
    "rbltimeout",
    number(1, 60),
    10,
    "Seconds from connect that DNS lists and the client's name are waited for, at most.",
    "smtpd",
)
RBLCODE = Setting(
    "rblcode",
    one_of("451", "553"),
    "451",
    "Reply code for clients on a DNS list: 451, or 553 as with rblsmtpd -b.",
    "smtpd",
)
DATABYTES = Setting(
    "databytes", number(0, 2**40), 52_428_800, "Octets a mail may have; 0 = no limit.", "smtpd"
)
MAXRCPT = Setting("maxrcpt", number(1, 100_000), 1000, "Recipients of one mail.", "smtpd")
TIMEOUTSMTPD = Setting(
    "timeoutsmtpd", number(1, 86_400), 1200, "Seconds smtpd waits for the client.", "smtpd"
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
    networks,
    (),
    "Loopback, private, proxy or cluster networks that may come onto the relay list all the same.",
    "popauth",
)
PROXYNETWORKS = Setting[tuple[IPv6Network, ...]](
    "proxynetworks",
    networks,
    (),
    "Load balancers whose PROXY header is believed; their own addresses never relay.",
    "smtpd, popauth",
)
CLUSTERNETWORKS = Setting[tuple[IPv6Network, ...]](
    "clusternetworks",
    networks,
    (),
    "Public addresses of our own nodes and gateways: never put on the relay list.",
    "popauth",
)
