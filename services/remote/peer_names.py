"""Whether a certificate is for a name that a policy wants (RFC 9525). Pure.

Only alternative names count, never the subject's common name (RFC 9525 6.3). Whether the
certificate is to be believed at all is OpenSSL's to say, before.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from tubepost.outcome import one_line

SHOWN = 4
"""Names of a certificate that are told; a large host has a hundred."""

Presented = Sequence[tuple[str, str]]
"""Alternative names as ssl tells them: ("DNS", name), ("IP Address", address) and others."""


def covers(presented: Presented, wanted: Iterable[str]) -> bool:
    """Whether one of the names in a certificate is one of `wanted`: a name, `.suffix` or an IP."""
    dns = (name.lower().rstrip(".") for kind, name in presented if kind == "DNS")
    names = [name for name in dns if "*" not in name or _is_wildcard(name)]
    ips = {_canonical(name) for kind, name in presented if kind == "IP Address"}
    return any(_canonical(w) in ips if _is_ip(w) else _named(names, w.lower()) for w in wanted)


def told(presented: Presented) -> str:
    """The names in a certificate, for a sentence."""
    names = [one_line(name, 100) for kind, name in presented if kind in ("DNS", "IP Address")]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "no name") + more


def _named(names: Iterable[str], wanted: str) -> bool:
    return any(_below(name, wanted) if wanted[0] == "." else _same(name, wanted) for name in names)


def _same(name: str, wanted: str) -> bool:
    """A wildcard stands for exactly one label, the first, and for all of it (RFC 9525 6.3)."""
    return name == wanted or (name[0:1] == "*" and wanted.partition(".")[2] == name[2:])


def _below(name: str, suffix: str) -> bool:
    return name.endswith(suffix) and len(name) > len(suffix)


def _is_wildcard(name: str) -> bool:
    """Not `*.org`: nobody owns all of that."""
    return name.startswith("*.") and name.count("*") == 1 and name.count(".") > 1


def _is_ip(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdigit()


def _canonical(text: str) -> str:
    """ssl writes `2001:DB8:0:0:0:0:0:1`, with a line end in some releases."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text
