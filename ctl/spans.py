"""How long, as options say it: `90s`, `15m`, `2h`, `7d`. And when, as lines say it. Pure."""

import re
from datetime import UTC, datetime

from tubepost.errors import BadInput

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str) -> int:
    """Raises BadInput."""
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if not found:
        raise BadInput(f"{text!r} is no time: write 90s, 15m, 2h or 7d")
    return int(found[1]) * UNITS[found[2]]


def moment(at: float) -> str:
    """`2026-01-31T10:00:00Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
