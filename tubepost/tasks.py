"""Tasks that run for ever beside a body of code: none is forgotten, none ends unnoticed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def background(*tasks: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs endless tasks beside the body: the body's end cancels them, a task's end is an error."""
    body = asyncio.current_task()
    ended: list[asyncio.Task[None]] = []

    def stop_body(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and body:
            ended.append(task)
            body.cancel()

    running = [asyncio.create_task(task) for task in tasks]
    for task in running:
        task.add_done_callback(stop_body)
    try:
        yield
    except asyncio.CancelledError:
        if ended and body:
            body.uncancel()  # the cancellation was ours, to get here
            raise ended[0].exception() or RuntimeError(f"{ended[0]} ended") from None
        raise
    finally:
        for task in running:
            task.remove_done_callback(stop_body)
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def heed_cancellation() -> None:
    """Ends a task whose cancellation was swallowed. To be called after nats-py's own requests.

    They wait with asyncio.wait_for, which before Python 3.12 loses a cancellation that comes
    together with the answer; an endless task would then never end.
    """
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
