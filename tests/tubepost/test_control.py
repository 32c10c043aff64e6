"""The settings in force: defaults, what is stored, and that a bad value changes nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.fakes import MemoryBus
from tubepost import smtp_values
from tubepost.control import Control
from tubepost.errors import BadInput, NotFound
from tubepost.keyed import Bucket


@contextlib.asynccontextmanager
async def running(bus: MemoryBus) -> AsyncIterator[Control]:
    control = Control(bus, "host.example")
    task = asyncio.create_task(control.run())
    loaded = asyncio.create_task(control.mirror.loaded.wait())
    await asyncio.wait({task, loaded}, return_when=asyncio.FIRST_COMPLETED)
    loaded.cancel()
    if task.done():
        task.result()
    try:
        yield control
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_defaults(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as control:
        assert control.get(smtp_values.DATABYTES) == 52_428_800
        assert control.me == control.greeting == control.helohost == "host.example"
        assert control.bounce_sender == "MAILER-DAEMON@host.example"
        assert control.double_bounce_recipient == "postmaster@host.example"
        assert control.lines("databytes") is None


async def test_a_setting_holds_at_once_and_can_be_taken_back(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as control:
        await control.set("databytes", ("1000",))
        assert control.get(smtp_values.DATABYTES) == 1000
        assert control.lines("databytes") == ("1000",)
        await control.set("databytes", ())
        assert control.get(smtp_values.DATABYTES) == 52_428_800
        assert control.lines("databytes") is None


async def test_me_is_the_default_of_the_other_names(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as control:
        await control.set("me", ("mx.example.org",))
        assert control.greeting == control.helohost == "mx.example.org"
        assert control.bounce_sender == "MAILER-DAEMON@mx.example.org"
        await control.set("smtpgreeting", ("mx.example.org hello",))
        await control.set("helohost", ("out.example.org",))
        await control.set("bouncehost", ("bounces.example.org",))
        await control.set("doublebounceto", ("ops@example.net",))
        assert control.greeting == "mx.example.org hello"
        assert control.helohost == "out.example.org"
        assert control.bounce_sender == "MAILER-DAEMON@bounces.example.org"
        assert control.double_bounce_recipient == "ops@example.net"


async def test_a_bad_value_is_refused_and_the_old_one_kept(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as control:
        await control.set("maxrcpt", ("5",))
        with pytest.raises(BadInput, match=r"maxrcpt: .*the old value is kept"):
            await control.set("maxrcpt", ("many",))
        with pytest.raises(NotFound):
            await control.set("maxrecipients", ("5",))
        assert control.get(smtp_values.MAXRCPT) == 5
    async with running(memory_bus) as again:
        assert again.get(smtp_values.MAXRCPT) == 5


async def test_a_setting_of_a_newer_release_is_passed_over(memory_bus: MemoryBus) -> None:
    await Bucket(memory_bus, "control").put("invented", {"lines": ["x"]})
    async with running(memory_bus) as control:
        await control.set("maxrcpt", ("5",))
        assert control.get(smtp_values.MAXRCPT) == 5


async def test_a_stored_value_this_release_refuses_leaves_the_default(
    memory_bus: MemoryBus,
) -> None:
    await Bucket(memory_bus, "control").put("maxrcpt", {"lines": ["many"]})
    async with running(memory_bus) as control:
        await control.set("databytes", ("1000",))
        assert control.get(smtp_values.MAXRCPT) == 1000
        assert control.get(smtp_values.DATABYTES) == 1000
