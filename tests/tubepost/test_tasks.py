"""Endless tasks beside a body: cancelled at its end, and an error where one of them ends."""

import asyncio
import contextlib

import pytest

from tubepost.tasks import background, heed_cancellation


async def for_ever(log: list[str]) -> None:
    log.append("began")
    try:
        await asyncio.Event().wait()
    finally:
        log.append("ended")


async def failing() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError("a bug")


async def ending() -> None:
    await asyncio.sleep(0)


async def test_the_end_of_the_body_ends_the_tasks() -> None:
    log: list[str] = []
    async with background(for_ever(log), for_ever(log)):
        await asyncio.sleep(0)
        assert log == ["began", "began"]
    assert log == ["began", "began", "ended", "ended"]


async def test_an_error_of_the_body_ends_the_tasks() -> None:
    log: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with background(for_ever(log)):
            await failing()
    assert log == ["began", "ended"]


async def test_a_task_that_fails_ends_the_body_with_its_error() -> None:
    log: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with background(failing(), for_ever(log)):
            await asyncio.Event().wait()
    assert log[-1] == "ended"


async def test_a_task_that_ends_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended"):
        async with background(ending()):
            await asyncio.Event().wait()


async def test_a_body_that_is_cancelled_is_cancelled() -> None:
    log: list[str] = []

    async def body() -> None:
        async with background(for_ever(log)):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["began", "ended"]


async def test_after_the_error_the_task_is_not_being_cancelled() -> None:
    with pytest.raises(ZeroDivisionError):
        async with background(failing()):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_swallowed_cancellation_ends_the_task_all_the_same() -> None:
    began = asyncio.Event()

    async def swallows() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                began.set()
                await asyncio.Event().wait()
            heed_cancellation()

    task = asyncio.create_task(swallows())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_is_not_cancelled_goes_on() -> None:
    heed_cancellation()
