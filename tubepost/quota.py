"""How much a mailbox or a domain may hold, as vpopmail and Maildir++ write it (VDM-6). Pure."""

import re
from dataclasses import dataclass

from tubepost.errors import BadInput

NONE = "NOQUOTA"

_PART = re.compile(r"(\d{1,15})(?:([KMG])B?|([SC]))?")

_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, slots=True)
class Quota:
    """`octets` as the mails lie on disk (LF line ends), and how many `mails`; 0 = any."""

    octets: int = 0
    mails: int = 0

    def __bool__(self) -> bool:
        return bool(self.octets or self.mails)

    def __str__(self) -> str:
        """As `parse_quota` reads it, and as the first line of maildirsize: `1000000S,1000C`."""
        octets = f"{self.octets}S" if self.octets else ""
        mails = f"{self.mails}C" if self.mails else ""
        return ",".join(filter(None, (octets, mails))) or NONE

    def has_room(self, used: "Used", more: "Used") -> bool:
        """Whether `more` fits in beside what is `used`; an exact fit does (VDM-8)."""
        return not (
            (self.octets and used.octets + more.octets > self.octets)
            or (self.mails and used.mails + more.mails > self.mails)
        )


@dataclass(frozen=True, slots=True)
class Used:
    """What mails take: octets on disk, and how many they are."""

    octets: int = 0
    mails: int = 0


ANY = Quota()
NOTHING = Used()


def parse_quota(text: str) -> Quota:
    """`10M`, `10MB`, `10K`, `1000000S`, `1000000`, `1000C`, `10M,1000C`; ANY for `NOQUOTA`.

    Raises BadInput.
    """
    words = text.strip().upper()
    if words == NONE:
        return ANY
    found: dict[str, int] = {}
    for part in words.split(","):
        read = _PART.fullmatch(part)
        name = "mails" if read and read[3] == "C" else "octets"
        if not read or not int(read[1]) or name in found:
            raise BadInput(
                f"{text!r} is not a quota: give 10M, 500K, 1000000S, 1000C (mails), 10M,1000C "
                f"or {NONE}"
            )
        found[name] = int(read[1]) * _UNITS.get(read[2], 1)
    return Quota(**found)
