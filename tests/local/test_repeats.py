"""What keeps a forward from going out twice once the server has forgotten its id."""

from pathlib import Path

from tests.fakes import FakeClock, MemoryBus
from tests.local.post import Local, running
from tubepost.errors import Unavailable
from tubepost.outcome import Delivered
from tubepost.provision import DUPLICATE_WINDOW

JOE, BOB = "joe@example.org", "bob@elsewhere.example"


async def forget(local: Local, clock: FakeClock) -> None:
    """The forward leaves the queue, and the server forgets it."""
    for held in await local.queued():
        if held.record.waiting == (BOB,):
            await local.queue.forget(held)
    clock.advance(DUPLICATE_WINDOW + 1)


async def test_a_later_retry_knows_by_its_record_what_is_done(
    memory_bus: MemoryBus, clock: FakeClock, tmp_path: Path
) -> None:
    async with running(memory_bus, tmp_path) as local:
        await local.account(JOE, BOB)
        (tmp_path / JOE).write_text("not a folder")
        first = await local.put(JOE)
        await local.attempt(first)
        await forget(local, clock)
        (tmp_path / JOE).unlink()
        await local.attempt(await local.held(first.key))
        assert (len(local.mails(JOE)), await local.queued()) == (1, [])


async def test_where_the_record_does_not_say_so_it_goes_out_again(
    memory_bus: MemoryBus, clock: FakeClock, tmp_path: Path
) -> None:
    """The rest of RFC 1047's window: ten minutes without a worker, at that very moment."""
    async with running(memory_bus, tmp_path) as local:
        await local.account(JOE, BOB, keep=False)
        local.store.after = [Unavailable("its word was lost")]
        await local.deliver(JOE)
        await forget(local, clock)
        assert await local.deliver(JOE) == [Delivered(text="did_0+1+0/", reports=True)]
        assert len(await local.queued()) == 1
