"""On which terms a session is held: as whom, how secure, how patient. Pure; no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.remote.events import Phase
from tubepost.smtproutes import Login
from tubepost.tls_policy import OPPORTUNISTIC, TlsPolicy

PATIENCE: Mapping[Phase, float] = {
    Phase.BANNER: 300,
    Phase.EHLO: 300,
    Phase.HELO: 300,
    Phase.STARTTLS: 120,
    Phase.HANDSHAKE: 120,
    Phase.RSET: 300,
    Phase.MAIL: 300,
    Phase.RCPT: 300,
    Phase.DATA: 120,
    Phase.BODY: 180,
    Phase.FINAL_DOT: 600,
    Phase.IDLE: 300,
}
"""Seconds for a whole reply, or for 64 KiB of a body to leave (RFC 5321 4.5.3.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """As whom we come. `ips`: local addresses, one of a family; none: the kernel chooses."""

    helo: str
    ips: tuple[str, ...] = ()

    def ip_for(self, peer: str) -> str:
        """The local address for a connection to the IP `peer`, "" for the kernel's choice."""
        return next((ip for ip in self.ips if (":" in ip) == (":" in peer)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`reply_seconds`: the most that any step may take; `patience` rules where it is less.

    `ca_file`: trusted authorities, "" for the system's.
    """

    source: Source
    tls: TlsPolicy = OPPORTUNISTIC
    login: Login | None = None
    lmtp: bool = False
    ca_file: str = ""
    connect_seconds: float = 60.0
    reply_seconds: float = 1200.0
    patience: Mapping[Phase, float] = field(default_factory=lambda: PATIENCE, compare=False)
