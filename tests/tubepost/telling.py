"""A Teller that keeps what it is told, and takes only what tubepost.events.KINDS lists."""

from typing import Any

from tubepost.events import KINDS, encoded


class Told:
    """See tubepost.events.Teller. `events`: what was told; `at` only where the caller gave it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def emit(
        self, kind: str, mail_id: str = "", /, *, at: float | None = None, **fields: object
    ) -> None:
        assert set(fields) == set(KINDS[kind]), kind
        event = {"event": kind, "mail": mail_id, **fields}
        assert encoded(event)
        self.events.append(event if at is None else {**event, "at": at})
