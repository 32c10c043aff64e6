"""How much a mailbox may hold, as vpopmail writes it (VDM-6). Pure."""

import re

from tubepost.errors import BadInput

NONE = "NOQUOTA"

_QUOTA = re.compile(r"(\d{1,15})(?:([KMG])B?|S)?")

_UNITS = {None: 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def parse_quota(text: str) -> int:
    """Octets of `10M`, `10MB`, `10K`, `1000000S`, `1000000`; 0 for `NOQUOTA`. Raises BadInput."""
    words = text.strip().upper()
    if words == NONE:
        return 0
    found = _QUOTA.fullmatch(words)
    if not found or not int(found[1]):
        more = "; how many mails there are is not limited" if words.endswith("C") else ""
        raise BadInput(f"{text!r} is not a quota: give 10M, 500K, 1000000S or {NONE}{more}")
    return int(found[1]) * _UNITS[found[2]]


def shown(quota: int) -> str:
    """As `parse_quota` reads it."""
    return f"{quota}S" if quota else NONE
