"""How many mails one mail may become."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.local.post import Local, running
from tubepost.delivery import Mail
from tubepost.events import NOBODY
from tubepost.nats_bus import NatsBus


@pytest.fixture
async def local(bus: NatsBus, tmp_path: Path) -> AsyncIterator[Local]:
    async with running(bus, tmp_path, NOBODY) as local:
        await local.domain("example.org")
        yield local


async def delivered_to_the_end(local: Local) -> int:
    """How many mails there have been in the queue once nothing new comes."""
    done: set[str] = set()
    while new := [held for held in await local.queued() if held.key.mail_id not in done]:
        for held in new:
            done.add(held.key.mail_id)
            body, to = await local.queue.body(held), held.record.waiting
            mail = Mail(held.key, held.record.sender, to, "", body, 1, 1.7e9)
            await local.courier.deliver(mail)
    return len(done)


async def test_aliases_that_name_each_other_make_a_mail_each(local: Local) -> None:
    names = [f"a{n}@example.org" for n in range(5)]
    for name in names:
        await local.alias(name, *(other for other in names if other != name))
    await local.deliver(names[0])
    assert await delivered_to_the_end(local) <= len(names)
