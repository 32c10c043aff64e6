"""The control settings of smtpd, and of what decides who may relay. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from tubepost import tcprules
from tubepost.setting import (
    Setting,
    addresses,
    domain,
    host_patterns,
    networks,
    number,
    one_line,
    senders,
)

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
BADMAILFROM = Setting[frozenset[str]](
    "badmailfrom",
    senders,
    frozenset(),
    "Envelope senders that are refused: `user@host` or `@host`.",
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
    "IP addresses this host is known by: `box@[192.0.2.1]` is `box@localiphost` for them.",
    "smtpd",
)
LOCALIPHOST = Setting[str | None](
    "localiphost", domain, None, "Domain that stands for `localips`; else `me`.", "smtpd"
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
