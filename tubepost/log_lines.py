"""What a line of the log looks like: JSON on stderr, on a terminal a readable one.

Times are RFC 3339, UTC.
"""

import json
import logging
import sys
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog

Event = MutableMapping[str, Any]

_encode = json.JSONEncoder(default=str).encode  # made once: json.dumps makes one for each line


def json_line(_logger: object, _method: str, event: Event) -> str:
    return _encode(event)


def timestamp(now: int) -> str:
    """RFC 3339 for nanoseconds since 1970."""
    return f"{_second(now // 1_000_000_000)}.{now // 1000 % 1_000_000:06d}Z"


@lru_cache(maxsize=1)  # many lines have the same
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:19]


def configure(level: str, service: str = "") -> None:
    """Sets logging up for this process. `level` as in the standard library: info, warning ..."""
    terminal = sys.stderr.isatty()
    constants = {"service": service} if service else {}

    def stamp(_logger: object, method: str, event: MutableMapping[str, Any]) -> Event:
        event["level"] = method
        event["timestamp"] = timestamp(time.time_ns())
        event.update(constants)
        return event

    structlog.configure(
        processors=[
            stamp,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else json_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries: only what an operator has to act on.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd, a line for each command
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # bus_error has them
