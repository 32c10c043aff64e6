"""On which terms a session is held: as whom, how secure, how patient. Pure; no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.remote.smtp.events import Phase
from tubepost.smtproutes import Login
from tubepost.tls_policy import OPPORTUNISTIC, Level, TlsPolicy

PATIENCE: Mapping[Phase, float] = {
    Phase.BANNER: 300,
    Phase.EHLO: 300,
    Phase.HELO: 300,
    Phase.STARTTLS: 120,
    Phase.HANDSHAKE: 120,
    Phase.AUTH: 300,
    Phase.RSET: 300,
    Phase.MAIL: 300,
    Phase.RCPT: 300,
    Phase.DATA: 120,
    Phase.BODY: 180,
    Phase.FINAL_DOT: 600,
}
"""Seconds for a whole reply, or for 64 KiB of a body to leave.

RFC 5321 4.5.3.2: banner, MAIL and RCPT 5 minutes, DATA 2, a piece of the body 3, the final dot 10,
and so each reply of LMTP to it. It names no time for the others: what is looked up or computed has
as long as MAIL, STARTTLS, which is neither, as long as DATA.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """As whom we come. `ips`: local addresses, one of a family; none: the kernel chooses."""

    helo: str
    ips: tuple[str, ...] = ()

    def ip_for(self, peer: str) -> str:
        """The local address for a connection to the IP `peer`, "" for the kernel's choice."""
        return next((ip for ip in self.ips if (":" in ip) == (":" in peer)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a peer is spoken to, other than SMTP without a login.

    `login_in_clear`: the operator said that this peer may hear the login without TLS. `convert`:
    octets that a peer without 8BITMIME does not take are made quoted-printable (RFC 6152 3).
    """

    lmtp: bool = False
    login: Login | None = None
    login_in_clear: bool = False
    convert: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`reply_seconds`: the most that any step may take; `patience` rules where it is less.

    Terms that differ in their time limits only are equal: a session may serve both. `ca_file`:
    trusted authorities, "" for the system's.
    """

    source: Source
    tls: TlsPolicy = OPPORTUNISTIC
    login: Login | None = None
    lmtp: bool = False
    convert: bool = True
    ca_file: str = ""
    connect_seconds: float = field(default=60.0, compare=False)
    reply_seconds: float = field(default=1200.0, compare=False)
    patience: Mapping[Phase, float] = field(default_factory=lambda: PATIENCE, compare=False)

    @property
    def dialect(self) -> Dialect:
        """A login goes in the clear only where the route's own policy makes TLS no must."""
        in_clear = self.tls.level in (Level.NONE, Level.MAY)
        return Dialect(
            lmtp=self.lmtp, login=self.login, login_in_clear=in_clear, convert=self.convert
        )
