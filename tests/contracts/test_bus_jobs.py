"""What tubepost.ports.Bus promises of jobs, hints, questions and answers, on each adapter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.contracts.reading import PATIENCE, reading, rounds
from tubepost.errors import Conflict, Unavailable
from tubepost.ports import Bus

JOB = "d.local.0.a.0"


def says(text: bytes | None) -> Callable[[str, bytes], Awaitable[bytes | None]]:
    async def handler(_subject: str, _data: bytes) -> bytes | None:
        return text

    return handler


# --- work


async def test_a_job_has_its_subject_and_data(any_bus: Bus) -> None:
    await any_bus.append(JOB, b"17", expect=0)
    async with reading(any_bus.work("local", 4)) as jobs:
        job = await jobs.next()
        assert (job.subject, job.data, job.redelivered) == (JOB, b"17", False)
        await job.working()


async def test_a_job_goes_to_its_channel(any_bus: Bus) -> None:
    await any_bus.append("d.remote.0.a.0", b"1", expect=0)
    await any_bus.append("d.local.0.b.0", b"2", expect=0)
    async with reading(any_bus.work("local", 4)) as local:
        assert (await local.next()).data == b"2"
        await rounds(any_bus)
        assert local.waiting == 0


async def test_no_more_jobs_than_slots_are_out(any_bus: Bus) -> None:
    for n in range(7):
        await any_bus.append(f"d.local.0.m{n}.0", b"%d" % n, expect=0)
    async with reading(any_bus.work("local", 3)) as jobs:
        out = await jobs.take(3)
        await rounds(any_bus)
        assert jobs.waiting == 0
        seen = [job.data for job in out]
        while len(seen) < 7:
            await out.pop().finish()
            any_bus.release("local")
            out.append(await jobs.next())
            seen.append(out[-1].data)
        await rounds(any_bus)
        assert jobs.waiting == 0
    assert sorted(seen) == [b"%d" % n for n in range(7)]


async def test_a_slot_that_is_released_waits_for_a_later_job(any_bus: Bus) -> None:
    await any_bus.append(JOB, b"1", expect=0)
    async with reading(any_bus.work("local", 1)) as jobs:
        await (await jobs.next()).finish()
        any_bus.release("local")
        await any_bus.append("d.local.0.b.0", b"2", expect=0)
        assert (await jobs.next()).data == b"2"


async def test_many_jobs_go_through_few_slots(any_bus: Bus) -> None:
    names = [f"d.local.0.m{n}.0" for n in range(200)]
    done: list[str] = []
    async with reading(any_bus.work("local", 8)) as jobs:
        await asyncio.gather(*(any_bus.append(name, b"1", expect=0) for name in names))
        while len(done) < len(names):
            job = await jobs.next()
            done.append(job.subject)
            await job.finish()
            any_bus.release("local")
    assert sorted(done) == sorted(names)


async def test_a_double_is_refused_while_the_job_is_queued_or_out(any_bus: Bus) -> None:
    await any_bus.append(JOB, b"1", expect=0)
    with pytest.raises(Conflict):
        await any_bus.append(JOB, b"2", expect=0)
    async with reading(any_bus.work("local", 4)) as jobs:
        await jobs.next()
        with pytest.raises(Conflict):
            await any_bus.append(JOB, b"2", expect=0)
        any_bus.release("local")  # released is not finished
        await rounds(any_bus)
        with pytest.raises(Conflict):
            await any_bus.append(JOB, b"2", expect=0)


async def test_a_job_that_is_finished_is_gone_and_may_come_anew(any_bus: Bus) -> None:
    await any_bus.append(JOB, b"1", expect=0)
    async with reading(any_bus.work("local", 4)) as jobs:
        await (await jobs.next()).finish()
        any_bus.release("local")
        await _stored_again(any_bus, b"2")
        again = await jobs.next()
        assert (again.data, again.redelivered) == (b"2", False)


async def _stored_again(bus: Bus, data: bytes) -> None:
    """An ack is not waited for: until it has come the double is refused."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await bus.append(JOB, data, expect=0)
            except Conflict:
                await asyncio.sleep(0)
            else:
                return


# --- tell, ask, answer


async def test_an_answer_comes_back(any_bus: Bus) -> None:
    async def handler(subject: str, data: bytes) -> bytes:
        return subject.encode() + b" " + data

    await any_bus.answer("ctl.*.*", handler)
    assert await any_bus.ask("ctl.7.list", b"all") == b"ctl.7.list all"


async def test_asking_nobody_is_unavailable(any_bus: Bus) -> None:
    await any_bus.answer("ctl.*.*", says(b"x"))
    with pytest.raises(Unavailable):
        await any_bus.ask("auth.check", b"")


async def test_a_handler_without_an_answer_is_unavailable(any_bus: Bus) -> None:
    await any_bus.answer("auth.check", says(None))
    with pytest.raises(Unavailable):
        await any_bus.ask("auth.check", b"", seconds=0.2)


async def test_a_slow_answer_is_unavailable(any_bus: Bus) -> None:
    never = asyncio.Event()

    async def slow(_subject: str, _data: bytes) -> bytes:
        await never.wait()
        return b""

    await any_bus.answer("auth.check", slow)
    with pytest.raises(Unavailable):
        await any_bus.ask("auth.check", b"", seconds=0.2)
    never.set()


async def test_ask_all_hears_everyone(any_bus: Bus) -> None:
    await any_bus.answer("w.inflight.*", says(b"one"))
    await any_bus.answer("w.inflight.*", says(b"two"))
    await any_bus.answer("w.inflight.*", says(None))
    assert sorted(await any_bus.ask_all("w.inflight.0", seconds=0.3)) == [b"one", b"two"]


async def test_ask_all_of_nobody_is_empty(any_bus: Bus) -> None:
    assert await any_bus.ask_all("w.inflight.0", seconds=0.1) == []


async def test_one_of_a_group_answers(any_bus: Bus) -> None:
    await any_bus.answer("auth.check", says(b"member"), group="popauth")
    await any_bus.answer("auth.check", says(b"member"), group="popauth")
    assert await any_bus.ask("auth.check", b"") == b"member"
    assert await any_bus.ask_all("auth.check", seconds=0.3) == [b"member"]


async def test_a_hint_is_heard_and_needs_no_listener(any_bus: Bus) -> None:
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(subject: str, data: bytes) -> None:
        heard.put_nowait((subject, data))

    await any_bus.tell("w.done.1", b"nobody listens")
    await any_bus.answer("w.done.*", hear)
    await any_bus.tell("w.done.1", b"hint")
    async with asyncio.timeout(PATIENCE):
        assert await heard.get() == ("w.done.1", b"hint")
