"""What an operator asks of a long queue, timed: a page, a filtered page, counts, metrics, a flush.

A flush changes the queue: it comes last.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import httpx

from bench import records
from bench.peers import BenchError
from bench.platform import Platform

TIMES = 5
"""How often each question is asked; the median counts."""

PAGE = 200
"""Mails of a page; a filtered one is asked on for until it is full, or there are no more."""

FLUSHED_RANK = 9
"""The domain that is flushed: of the tenth rank, with about 1.2 % of the mails."""

FLUSH_PATIENCE = 180.0
DISTURB_EVERY = 1.0

Seconds = dict[str, float]
"""Question -> seconds."""

FILTERS: Mapping[str, str] = {
    "domain": records.domain_name(FLUSHED_RANK),
    "sender": "user1@s001.example",
    "state": "pending",
    "older": "86400",
    "error": "192.0.2.77 ",
}


def ask(platform: Platform, *, filters: bool) -> Seconds:
    """Every question that changes nothing. `filters`: pages of chosen mails too."""
    with platform.client() as client:
        found = {
            "first page": _median(client, "/v1/queue"),
            "counts": _median(client, "/v1/queue/counts"),
            "metrics": _median(client, "/metrics"),
        }
        for name, value in FILTERS.items() if filters else ():
            found[f"page, {name}="] = _median(client, "/v1/queue", **{name: value})
    return found


def _median(client: httpx.Client, path: str, **query: str) -> float:
    return median(_timed(client, path, query) for _ in range(TIMES))


def _timed(client: httpx.Client, path: str, query: Mapping[str, str]) -> float:
    """Seconds for an answer; of a list, until a page is full or the list has ended."""
    began, mails = time.monotonic(), 0
    answer = _checked(client.get(path, params=query))
    while path == "/v1/queue" and query:
        page = answer.json()
        mails += len(page["mails"])
        if mails >= PAGE or page["next"] is None:
            break
        answer = _checked(client.get(path, params={**query, "after": page["next"]}))
    return time.monotonic() - began


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise BenchError(f"{answer.request.url}: {answer.status_code} {answer.text}")
    return answer


def flush(platform: Platform, count: int) -> Seconds:
    """Time for the answers, and until the `count` mails of that domain have left the queue.

    Everything has to be routed to a sink that takes it.
    """
    domain = records.domain_name(FLUSHED_RANK)
    before = platform.queued()
    began = time.monotonic()
    matched = _flush_all(platform, domain)
    answered = time.monotonic() - began
    if matched != count:
        raise BenchError(f"the flush of {domain} found {matched} of its {count} mails")
    while platform.queued() > before - count:
        if time.monotonic() - began > FLUSH_PATIENCE:
            raise BenchError(f"{domain} still has mails {FLUSH_PATIENCE:.0f} s after its flush")
        time.sleep(0.2)  # a queue tells nobody when it is shorter
    gone = time.monotonic() - began
    return {"flush a domain: answer": answered, "flush a domain: all gone": gone}


def _flush_all(platform: Platform, domain: str) -> int:
    """Slice after slice; how many units matched."""
    matched, cursor = 0, ""
    with platform.client() as client:
        while True:
            query = {"domain": domain, "cursor": cursor}
            done: dict[str, Any] = _checked(client.post("/v1/queue/flush", params=query)).json()
            matched += int(done["matched"])
            if done["next"] is None:
                return matched
            cursor = done["next"]


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
