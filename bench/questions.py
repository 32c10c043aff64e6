"""What an operator asks of a long queue, timed: a page, a filtered page, counts, metrics, a flush.

Must not fail where this release has no such question yet: then it says so.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from statistics import median

import httpx

from bench import records
from bench.peers import BenchError
from bench.platform import Platform

TIMES = 5
"""How often each question is asked; the median counts."""

NOWHERE = "nowhere.invalid"
FLUSHED_RANK = 9
"""The domain that is flushed: of the tenth rank, with about 1.2 % of the mails."""

FLUSH_PATIENCE = 180.0
DISTURB_EVERY = 1.0

Seconds = dict[str, float | None]
"""Question -> seconds, None where there is no such question."""

FILTERS: Mapping[str, str] = {
    "domain": records.domain_name(FLUSHED_RANK),
    "sender": "user1@s001.example",
    "state": "pending",
    "older": "86400",
    "error": "421",
}


def ask(platform: Platform, *, filters: bool) -> Seconds:
    """Every question that changes nothing. `filters`: pages of chosen mails too."""
    with platform.client() as client:
        found: Seconds = {
            "first page": _median(client, "/v1/queue"),
            "counts": _median(client, "/v1/queue/counts"),
            "metrics": _median(client, "/metrics"),
        }
        for name, value in FILTERS.items() if filters else ():
            there = _has_filter(client, name)
            found[f"page, {name}="] = (
                _median(client, "/v1/queue", **{name: value}) if there else None
            )
    return found


def _median(client: httpx.Client, path: str, **query: str) -> float:
    return median(_timed(client, path, **query) for _ in range(TIMES))


def _timed(client: httpx.Client, path: str, **query: str) -> float:
    began = time.monotonic()
    answer = client.get(path, params=query)
    if answer.is_error:
        raise BenchError(f"{path} {query}: {answer.status_code} {answer.text}")
    return time.monotonic() - began


def _has_filter(client: httpx.Client, name: str) -> bool:
    """A release without it passes over the parameter, and answers with mails nobody asked for."""
    if name not in ("domain", "sender", "error"):
        return _has_filter(client, "domain")
    answer = client.get("/v1/queue", params={name: NOWHERE})
    return answer.is_success and not answer.json()


def flush(platform: Platform, count: int) -> Seconds:
    """Time for the answer, and until the `count` mails of that domain have left the queue.

    Everything has to be routed to a sink that takes it. None twice where there is no flush.
    """
    domain = records.domain_name(FLUSHED_RANK)
    before = platform.queued()
    began = time.monotonic()
    with platform.client() as client:
        answer = client.post("/v1/queue/flush", params={"domain": domain})
    if answer.status_code in (404, 405):
        return {"flush a domain: answer": None, "flush a domain: all gone": None}
    if answer.is_error:
        raise BenchError(f"flush: {answer.status_code} {answer.text}")
    answered = time.monotonic() - began
    while platform.queued() > before - count:
        if time.monotonic() - began > FLUSH_PATIENCE:
            raise BenchError(f"{domain} still has mails {FLUSH_PATIENCE:.0f} s after its flush")
        time.sleep(0.2)
    return {
        "flush a domain: answer": answered,
        "flush a domain: all gone": time.monotonic() - began,
    }


@contextlib.contextmanager
def disturbing(platform: Platform) -> Iterator[None]:
    """An operator who looks at page, counts and metrics every second, as long as the body runs."""
    ended = threading.Event()

    def look() -> None:
        with platform.client() as client:
            while not ended.wait(DISTURB_EVERY):
                for path in ("/v1/queue", "/v1/queue/counts", "/metrics"):
                    client.get(path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
