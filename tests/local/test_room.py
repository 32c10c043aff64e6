"""What smtpd is told of the room in a mailbox: what is booked, and where there is no booking."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import MemoryBus
from tests.local.quota_scene import Scene, scene_on
from tubepost import subjects
from tubepost.directory_values import Account
from tubepost.quota import Quota


@pytest.fixture
async def scene(memory_bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_on(memory_bus, tmp_path) as found:
        yield found


async def told(scene: Scene, address: str) -> Any:
    return json.loads(await scene.room.answer(subjects.QUOTA_ROOM, address.encode()))


def put(folder: Path, name: str, octets: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x" * octets)


async def test_what_was_delivered_counts(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    assert await scene.deliver(ann, 15) is None
    assert await told(scene, ann.address) == {"used": 15, "mails": 1}


async def test_the_maildir_is_not_read_again(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    assert await scene.deliver(ann, 15) is None
    put(scene.maildir(ann) / "new", "1.a,S=100")  # nobody booked it
    assert await told(scene, ann.address) == {"used": 15, "mails": 1}
    (scene.maildir(ann) / "maildirsize").unlink()
    assert await told(scene, ann.address) == {"used": 115, "mails": 2}


async def test_what_leaves_little_room_is_counted_again_once_it_is_old(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    assert await scene.deliver(ann, 600) is None
    os.unlink(scene.mails(ann)[0])
    assert (await told(scene, ann.address))["used"] == 600
    scene.clock.advance(901)
    assert (await told(scene, ann.address))["used"] == 0


@pytest.mark.parametrize("quota", [Quota(), Quota(1_000_000)])
async def test_no_maildir_yet_is_empty(scene: Scene, quota: Quota) -> None:
    ann = await scene.account("ann", quota)
    assert await told(scene, ann.address) == {"used": 0, "mails": 0}
    assert await told(scene, "nobody@example.net") == {"used": 0, "mails": 0}
    assert not scene.maildir(ann).exists()


async def test_without_a_quota_the_maildir_is_read(scene: Scene) -> None:
    ann = await scene.account("ann")
    assert await scene.deliver(ann, 15) is None
    assert await told(scene, ann.address) == {"used": 15, "mails": 1}


async def test_the_domain_is_told_once_it_has_been_counted(scene: Scene) -> None:
    ann, bob = await scene.account("ann"), await scene.account("bob")
    for account in (ann, bob):
        assert await scene.deliver(account, 15) is None
    await scene.set_domain(Quota(1000))
    assert await told(scene, ann.address) == {"used": 15, "mails": 1}  # and it is counted
    await scene.quotas._counts.ask("example.net")
    domain = {"used": 30, "mails": 2}
    assert await told(scene, ann.address) == {"used": 15, "mails": 1, "domain": domain}


async def test_a_mail_root_that_is_not_there_tells_nothing(
    memory_bus: MemoryBus, tmp_path: Path
) -> None:
    async with scene_on(memory_bus, tmp_path / "not mounted") as scene:
        ann: Account = await scene.account("ann", Quota(1000))
        assert await told(scene, ann.address) == {}
