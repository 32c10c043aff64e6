"""What the services of a chaos run logged: bugs, outcomes stored, and what is no line of theirs."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ALARMS = frozenset(
    {"bug", "mail.parked", "mail.unreadable", "service.failed", "service.bad_setting"}
)
"""Events that are never right in a chaos run."""

OUTCOMES = frozenset({"delivery.success", "delivery.deferral", "delivery.failure"})

_MAX_FOREIGN = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One event of one process. `at`: seconds since 1970."""

    process: str
    at: float
    event: str
    fields: dict[str, Any]


@dataclass(slots=True)
class Logs:
    """`foreign`: lines of libraries and of Python itself, tracebacks for the most part."""

    lines: list[Line] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def alarms(self) -> list[Line]:
        """Lines that are findings, one and all. A denied subject shows as an error of the bus."""
        return [
            line
            for line in self.lines
            if line.event in ALARMS
            or (line.event == "bus.error" and "permissions violation" in str(line.fields).lower())
        ]

    @property
    def warnings(self) -> dict[str, int]:
        """How often each event of level warning or error came."""
        levels = ("warning", "error")
        found = Counter(line.event for line in self.lines if line.fields.get("level") in levels)
        return dict(sorted(found.items()))

    def life(self, *mail_ids: str) -> list[Line]:
        """All lines about these mails, in order of time."""
        found = [line for line in self.lines if line.fields.get("mail_id") in mail_ids]
        return sorted(found, key=lambda line: line.at)

    def stored(self) -> dict[tuple[str, str], list[float]]:
        """By process and recipient, when the outcome of a delivery was in the record."""
        found: dict[tuple[str, str], list[float]] = {}
        for line in self.lines:
            if line.event in OUTCOMES:
                key = (line.process, str(line.fields["recipient"]))
                found.setdefault(key, []).append(line.at)
        return found


def read(files: Iterable[Path]) -> Logs:
    """The logs of the services; a file is named for its process."""
    logs = Logs()
    for file in files:
        for text in file.read_text(errors="replace").splitlines():
            line = _parsed(file.stem, text)
            if line:
                logs.lines.append(line)
            elif text.strip() and len(logs.foreign) < _MAX_FOREIGN:
                logs.foreign.append(f"{file.stem}: {text}")
    return logs


def _parsed(process: str, text: str) -> Line | None:
    """None for what is not ours, or was cut off by a kill."""
    try:
        fields = json.loads(text)
        at = datetime.fromisoformat(fields["timestamp"]).timestamp()
        return Line(process, at, str(fields["event"]), fields)
    except (ValueError, KeyError, TypeError):
        return None
