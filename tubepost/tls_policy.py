"""How much TLS a session with another host needs. Pure.

The level says what must be so before a mail goes; what a certificate must say is in `names`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Each demands more than the one before it."""

    NONE = "none"
    """TLS is not begun."""
    MAY = "may"
    """TLS where it is offered, whatever the certificate; in the clear where it is not, or fails."""
    ENCRYPT = "encrypt"
    """TLS or nothing; the certificate is not looked at."""
    VERIFY = "verify"
    """TLS with a certificate that a trusted authority signed for one of the names."""


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """`names`: those a certificate may be for; `.name` is any host below it. Only for VERIFY."""

    level: Level = Level.MAY
    names: tuple[str, ...] = ()


OPPORTUNISTIC = TlsPolicy()
