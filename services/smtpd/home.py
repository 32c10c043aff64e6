"""Recipients that name this host without a domain of the directory: what they stand for.

`postmaster` alone (RFC 5321 4.5.1) is whoever gets double bounces; `box@[d.d.d.d]` with an address
of ours is `box@localiphost` (SMTPD-7). It judges nothing: policies see what comes out.
"""

from dataclasses import replace
from ipaddress import ip_address

from services.smtpd.commands import POSTMASTER, Path
from tubepost import smtp_values
from tubepost.control import Control


def resolved(path: Path, control: Control) -> Path:
    """The path with the address that the mail goes to."""
    if path.address == POSTMASTER:
        return replace(path, address=control.double_bounce_recipient)
    if path.address.endswith("]"):
        return replace(path, address=_by_name(path.address, control))
    return path


def _by_name(address: str, control: Control) -> str:
    box, _, literal = address.rpartition("@")
    text = literal[1:-1]
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        ours = ip_address(text) in control.get(smtp_values.LOCALIPS)
    except ValueError:
        return address  # 999.1.1.1: nobody's
    host = control.get(smtp_values.LOCALIPHOST) or control.me
    return f"{box}@{host}" if ours else address
