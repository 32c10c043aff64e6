"""Making the streams: a cancellation in the middle of it, and what an earlier release made."""

import asyncio
import contextlib

import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from tests.conftest import PLAN
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory import Directory
from tubepost.directory_values import Account, account_key, domain_key, entry_value
from tubepost.keyed import Bucket
from tubepost.nats_bus import NatsBus
from tubepost.ports import Write
from tubepost.provision import HISTORY, _unavailable, provision
from tubepost.tasks import background

JOE = parse_address("joe@example.org")


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


DIRECTORY = subjects.bucket_stream(subjects.DIRECTORY)


async def of_an_earlier_release(bus: NatsBus) -> None:
    """The directory's bucket as it was made before there was history: one revision a key."""
    js = bus.client.jetstream()
    await js.delete_stream(DIRECTORY)
    old = StreamConfig(
        name=DIRECTORY,
        subjects=[f"$KV.{subjects.DIRECTORY}.>"],
        num_replicas=1,
        max_msgs_per_subject=1,
        allow_rollup_hdrs=True,
        allow_direct=True,
        discard=DiscardPolicy.NEW,
        description="an operator's own words",
    )
    await js.add_stream(old)


async def test_a_directory_of_an_earlier_release_is_brought_up_to_date_with_what_is_in_it(
    bus: NatsBus,
) -> None:
    await of_an_earlier_release(bus)
    bucket = Bucket(bus, subjects.DIRECTORY)
    revision = await bucket.put(account_key(JOE), {"home": "h", "password": "p", "quota": 7})
    await bucket.put(domain_key("example.org"), {})
    await provision(bus.client, PLAN)
    config = (await bus.client.jetstream().stream_info(DIRECTORY)).config
    assert (config.allow_atomic, config.max_msgs_per_subject) == (True, HISTORY)
    assert config.description == "an operator's own words"  # nothing else is changed
    assert await bucket.last(account_key(JOE)) == (
        {"home": "h", "password": "p", "quota": 7},
        revision,
    )
    writes = [
        Write(subjects.bucket_key(subjects.DIRECTORY, key), b"{}", expect=expect)
        for key, expect in ((account_key(JOE), revision), (domain_key("b.example"), 0))
    ]
    assert await bus.append_all(writes) == revision + 3


async def test_who_has_read_the_old_directory_goes_on_while_it_is_brought_up_to_date(
    bus: NatsBus,
) -> None:
    """smtpd and local run while the scheduler is updated: they need no restart."""
    await of_an_earlier_release(bus)
    bucket, directory = Bucket(bus, subjects.DIRECTORY), Directory(bus)
    account = Account("joe@example.org", "h", "p")
    await bucket.put(domain_key("example.org"), {})
    async with background(directory.run()):
        await directory.loaded()
        assert await directory.account(JOE) is None
        await provision(bus.client, PLAN)
        await directory.seen(
            account_key(JOE), await bucket.put(account_key(JOE), entry_value(account))
        )
        assert await directory.account(JOE) == account


async def test_a_directory_that_is_up_to_date_is_left_alone(bus: NatsBus) -> None:
    js = bus.client.jetstream()
    before = await js.stream_info(DIRECTORY)
    await provision(bus.client, PLAN)
    assert (await js.stream_info(DIRECTORY)).config == before.config
