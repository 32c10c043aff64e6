"""What a host says of its own limits in the reply to EHLO (LIMITS, RFC 9422). Pure."""

from collections.abc import Mapping
from math import inf


def mail_max(extensions: Mapping[str, str]) -> float:
    """How many mails it takes over one connection; without end where it names no number."""
    for limit in extensions.get("LIMITS", "").split():
        name, _, value = limit.partition("=")
        if name.upper() == "MAILMAX" and value.isdecimal() and len(value) < 10:
            return max(1, int(value))
    return inf
