"""A platform ended and started again: how long until it answers, delivers, and knows its queue."""

import asyncio
import time
from dataclasses import dataclass

import httpx

from bench import lone
from bench.load import Load
from bench.peers import DOMAIN, BenchError
from bench.platform import LOADED_WITHIN, Platform

MAILBOX = Load("after a restart", "restart")
ASK_EVERY = 0.25
"""Seconds between two questions; an owner that has not loaded yet leaves one unanswered for 3 s."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Seconds. `stop`: until nothing ran any more; the rest counts from the start.

    `ready`: its ready line. `delivered`: the first new mail is in its Maildir. `loaded`: the owners
    of all shards answer. `lost`: how often a shard was lost again by then, and loaded anew.
    """

    stop: float
    ready: float
    delivered: float
    loaded: float
    lost: int


def restart(platform: Platform, *, kill: bool) -> Restart:
    """With SIGTERM, or with SIGKILL to everything. Raises BenchError."""
    began = time.monotonic()
    if kill:
        platform.kill()
    else:
        platform.stop()
    stopped = time.monotonic()
    platform.launch()
    ready = time.monotonic() - stopped
    delivered, loaded = asyncio.run(_measured(platform))
    return Restart(
        stopped - began, ready, ready + delivered, ready + loaded, platform.shards_lost()
    )


async def _measured(platform: Platform) -> tuple[float, float]:
    return await asyncio.gather(_until_delivered(platform), _until_loaded(platform))


async def _until_delivered(platform: Platform) -> float:
    began, at = time.monotonic(), time.time()
    marker = f"restart-{at:.6f}"
    to = f"{MAILBOX.mailbox}@{DOMAIN}"
    await lone.submit(platform.port, "after@client.example", [to], lone.text(marker, 1000))
    arrivals = lone.in_maildir(lambda: platform.maildir(MAILBOX.mailbox))
    found = arrivals()
    while marker not in found:
        if time.monotonic() - began > LOADED_WITHIN:
            raise BenchError(f"nothing was delivered within {LOADED_WITHIN:.0f} s of a restart")
        await asyncio.sleep(lone.POLL)
        found = arrivals()
    return found[marker] - at


async def _until_loaded(platform: Platform) -> float:
    """Asks again without waiting for the answer before, so that a lost question costs nothing."""
    began = time.monotonic()
    asked: set[asyncio.Task[bool]] = set()
    async with httpx.AsyncClient(**platform.access(), timeout=LOADED_WITHIN) as client:
        while time.monotonic() - began < LOADED_WITHIN:
            asked.add(asyncio.create_task(_answers(client)))
            done, asked = await asyncio.wait(
                asked, timeout=ASK_EVERY, return_when=asyncio.FIRST_COMPLETED
            )
            if any(task.result() for task in done):
                for task in asked:
                    task.cancel()
                return time.monotonic() - began
    raise BenchError(f"the queue is not loaded {LOADED_WITHIN:.0f} s after a restart")


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/v1/queue/counts")).is_success
    except httpx.HTTPError:
        return False
