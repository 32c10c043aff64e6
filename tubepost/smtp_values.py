"""The control settings of smtpd, and of what decides who may relay. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from tubepost import blocklists, rate_limits, relay_denied, sender_patterns, tcprules
from tubepost.setting import (
    Setting,
    addresses,
    domain,
    host_patterns,
    networks,
    number,
    one_line,
    one_of,
    some_of,
)

MOST_USERS = 20
"""Users an entry of the relay list remembers."""

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
ENHANCEDSTATUSCODES = Setting(
    "enhancedstatuscodes",
    number(0, 1),
    1,
    "1: clients that say EHLO get enhanced codes in front of replies (RFC 2034); 0: nobody does.",
    "smtpd",
)
LOCALIPS = Setting[frozenset[IPv4Address | IPv6Address]](
    "localips",
    addresses,
    frozenset(),
    "IP addresses this host is known by: `box@[192.0.2.1]` is `box@localiphost` for them, and mail "
    "is never sent to them.",
    "smtpd, remote",
)
LOCALIPHOST = Setting[str | None](
    "localiphost", domain, None, "Domain that stands for `localips`; else `me`.", "smtpd, remote"
)
MAXRCPT = Setting("maxrcpt", number(1, 100_000), 1000, "Recipients of one mail.", "smtpd")
TIMEOUTSMTPD = Setting(
    "timeoutsmtpd", number(1, 86_400), 1200, "Seconds smtpd waits for the client.", "smtpd"
)
TIMEOUTDATA = Setting(
    "timeoutdata", number(1, 86_400), 300, "Seconds smtpd waits for more of a mail.", "smtpd"
)
DATARATE = Setting(
    "datarate",
    number(0, 2**30),
    100,
    "Octets a second, on average, in which a mail has to come after 10 minutes; 0 = any.",
    "smtpd",
)
MAXLINE = Setting(
    "maxline",
    number(0, 2**30),
    8192,
    "Octets a line of a mail may have, CRLF included; 0 = no limit.",
    "smtpd",
)
MAXHEADER = Setting(
    "maxheader", number(1000, 2**26), 262_144, "Octets the header of a mail may have.", "smtpd"
)
MAXERRORS = Setting(
    "maxerrors",
    number(0, 100_000),
    20,
    "5xx replies after which a session ends; an unknown command counts 4; 0 = no limit.",
    "smtpd",
)
GREETDELAY = Setting(
    "greetdelay",
    number(0, 60),
    0,
    "Seconds the greeting on the MX port waits; who talks before it is refused.",
    "smtpd",
)
TARPITCOUNT = Setting(
    "tarpitcount",
    number(0, 100_000),
    0,
    "Errors, or recipients, after which replies to more of them wait; 0 = they never do.",
    "smtpd",
)
TARPITDELAY = Setting(
    "tarpitdelay", number(1, 999), 5, "Seconds they wait; 999 = the session ends.", "smtpd"
)
TCPRULES = Setting(
    "tcprules",
    tcprules.parse,
    tcprules.Rules(),
    'tcpserver rules: 192.0.2.:allow,RELAYCLIENT="".',
    "smtpd",
)
RELAYDENIED = Setting(
    "relaydenied",
    relay_denied.parse,
    relay_denied.DEFAULT,
    "Text after 553 for a recipient that may not be relayed to; `{domain}`, `{recipient}` and "
    "`{client}` are filled in.",
    "smtpd",
)
RELAYUSERS = Setting(
    "relayusers",
    number(0, MOST_USERS),
    5,
    "So many users logging in from one address within the window are worth a warning; 0 = never.",
    "popauth",
)
SMTPRATES = Setting[rate_limits.Limits](
    "smtprates",
    rate_limits.parse,
    {},
    "What one client may do in a time, over all replicas: `mails:100/h`, `errors:30/10m`. "
    f"Kinds: {', '.join(rate_limits.KINDS)}.",
    "smtpd",
)
CONCURRENCYINCOMING = Setting(
    "concurrencyincoming",
    number(0, 1_000_000),
    1000,
    "Sessions at once in one smtpd process; 0 = no limit.",
    "smtpd",
)
CONCURRENCYCLIENT = Setting(
    "concurrencyclient",
    number(0, 1_000_000),
    100,
    "Sessions at once of one client address (IPv6: /64) in one smtpd process; 0 = no limit.",
    "smtpd",
)
RELAYNETWORKS = Setting[tuple[IPv6Network, ...]](
    "relaynetworks",
    networks,
    (),
    "Loopback, private, proxy or cluster networks that may come onto the relay list all the same.",
    "smtpd, popauth",
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
    "smtpd, popauth",
)
AUTHMECHANISMS = Setting[tuple[str, ...]](
    "authmechanisms",
    some_of("plain", "login", "cram-md5"),
    ("plain", "login"),
    "Mechanisms of AUTH, as EHLO shows them: `plain login` (the default), and `cram-md5`, for"
    " accounts with a `--reversible` password.",
    "smtpd",
)
AUTHPLAINTEXT = Setting(
    "authplaintext", number(0, 1), 0, "1 = AUTH without TLS, too: trusted networks only.", "smtpd"
)
AUTHOLDLINE = Setting(
    "autholdline", number(0, 1), 0, "1 = EHLO shows `AUTH=` besides, for old Outlook.", "smtpd"
)
AUTHONMX = Setting(
    "authonmx", number(0, 1), 0, "1 = AUTH on the MX listener, too; never required there.", "smtpd"
)
AUTHDELAY = Setting(
    "authdelay", number(0, 60), 5, "Seconds until the reply to a wrong password.", "smtpd"
)
AUTHMAILFROM = Setting(
    "authmailfrom",
    one_of("any", "domain", "account"),
    "any",
    "Senders of who is logged in: `any`, those of his `domain`, or of his `account` only.",
    "smtpd",
)
RELAYMAILFROM = Setting(
    "relaymailfrom",
    one_of("any", "domain", "account"),
    "any",
    "The same for who relays by the relay list.",
    "smtpd",
)
OVERQUOTA = Setting(
    "overquota",
    one_of("defer", "refuse"),
    "defer",
    "Mail for a mailbox or a domain without room, at RCPT and at the delivery: `defer` (452, it is "
    "tried again) or `refuse` (552, a bounce). A mail bigger than the whole quota is refused.",
    "smtpd, local",
)
