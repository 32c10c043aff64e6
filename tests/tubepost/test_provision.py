"""Making the streams: what becomes of a cancellation in the middle of it."""

import asyncio
import contextlib

import pytest

from tubepost.provision import _unavailable


async def test_a_cancellation_that_the_library_loses_is_not_lost() -> None:
    """As asyncio.wait_for does where the answer comes in the same moment."""

    async def losing() -> None:
        with _unavailable("cannot ask"), contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        pytest.fail("it went on")

    task = asyncio.create_task(losing())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
