"""What is looked up to resolve an address, and what is not."""

import time
from collections.abc import AsyncIterator

import pytest

from tests.fakes import FakeClock, MemoryBus
from tubepost import srs, subjects
from tubepost.address import parse_address
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import (
    Account,
    Alias,
    Domain,
    Entry,
    MailingList,
    account_key,
    domain_key,
    domain_value,
    entry_value,
)
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket
from tubepost.ports import Stored
from tubepost.resolution import Resolution, Rule
from tubepost.resolver import Resolver
from tubepost.tasks import background

JOE = Account("joe@o.example", "home", "hash")


class CountingBus(MemoryBus):
    """`asked`: the keys that were read, in order, without those of the beginning."""

    asked: list[str]

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        self.asked.append(subject)
        return await super().read(stream, subject, leader=leader)


class Scene:
    """o.example has joe; o2.example is another name of it."""

    def __init__(self, bus: CountingBus) -> None:
        self.bus, self._bucket = bus, Bucket(bus, subjects.DIRECTORY)
        self.directory, self.control = Directory(bus), Control(bus, "mail.example")
        self.resolver = Resolver(self.directory, self.control)

    async def domain(self, domain: Domain) -> None:
        key = domain_key(domain.name)
        await self.directory.seen(key, await self._bucket.put(key, domain_value(domain)))

    async def entry(self, entry: Entry) -> None:
        key = account_key(parse_address(entry.address))
        await self.directory.seen(key, await self._bucket.put(key, entry_value(entry)))

    async def asked(self, address: str) -> Resolution:
        self.bus.asked.clear()
        return await self.resolver.resolve(parse_address(address, utf8=True))


@pytest.fixture
async def scene(clock: FakeClock) -> AsyncIterator[Scene]:
    bus = CountingBus(clock)
    bus.asked = []
    scene = Scene(bus)
    async with background(scene.directory.run(), scene.control.run()):
        await scene.directory.loaded()
        await scene.control.mirror.loaded.wait()
        await scene.domain(Domain("o.example"))
        await scene.domain(Domain("o2.example", alias_of="o.example"))
        await scene.entry(JOE)
        yield scene


@pytest.mark.parametrize("address", ["joe@o.example", "JOE@o2.example"])
async def test_an_account_that_was_asked_for_before_costs_nothing(
    scene: Scene, address: str
) -> None:
    await scene.asked(address)
    found = await scene.asked(address)
    assert (found.rule, scene.bus.asked) == (Rule.ACCOUNT, [])


async def test_only_where_nothing_is_there_the_others_are_looked_up(scene: Scene) -> None:
    """Each of them twice: what is not there is the leader's word."""
    assert (await scene.asked("ann-a-b@o.example")).rule is Rule.NOBODY
    names = ["ann-a-b", "ann-a-default", "ann-a", "ann-default", "ann"]
    keys = [account_key(parse_address(f"{name}@o.example")) for name in names]
    wanted = [subjects.bucket_key(subjects.DIRECTORY, key) for key in keys]
    assert set(scene.bus.asked) == set(wanted)
    assert scene.bus.asked[:2] == wanted[:1] * 2
    await scene.asked("ann-a-b@o.example")
    assert scene.bus.asked == []


async def test_the_first_that_fits_ends_the_look_ups(scene: Scene) -> None:
    await scene.entry(MailingList("joe-a@o.example", "kim@far.example"))
    await scene.asked("joe-a@o.example")
    assert (await scene.asked("joe-a-b-c@o.example")).rule is Rule.EXTENSION
    names = ["joe-a-b-c", "joe-a-b-default", "joe-a-b", "joe-a-default", "joe-default", "joe"]
    keys = [account_key(parse_address(f"{name}@o.example")) for name in names]
    wanted = [subjects.bucket_key(subjects.DIRECTORY, key) for key in keys]
    assert list(dict.fromkeys(scene.bus.asked)) == wanted


async def test_a_change_counts_for_an_address_that_was_looked_up(scene: Scene) -> None:
    assert (await scene.asked("ann-x@o.example")).rule is Rule.NOBODY
    await scene.entry(Alias("ann-default@o.example", ("kim@far.example",)))
    assert (await scene.asked("ann-x@o.example")).rule is Rule.DEFAULT


async def test_the_setting_says_what_an_extension_is(scene: Scene) -> None:
    assert (await scene.asked("joe+x@o.example")).rule is Rule.EXTENSION
    await scene.control.set("extensions", ("-",))
    assert (await scene.asked("joe+x@o.example")).rule is Rule.NOBODY
    await scene.control.set("extensions", ("none",))
    assert (await scene.asked("joe-x@o.example")).rule is Rule.NOBODY
    assert len(set(scene.bus.asked)) == 1


async def test_another_name_of_a_domain_has_all_that_the_domain_has(scene: Scene) -> None:
    await scene.entry(Alias("all@o.example", ("kim@far.example",)))
    await scene.entry(MailingList("talk@o.example", "kim@far.example"))
    await scene.domain(Domain("o.example", unknown="joe@o.example"))
    names = ["joe", "Joe-x", "all", "talk", "talk-owner", "talk-return-a=b", "who", "all+x"]
    for name in names:
        found = await scene.asked(f"{name}@o2.example")
        assert found == await scene.asked(f"{name}@o.example")
        assert found.address == f"{name}@o.example"


async def test_either_name_of_a_domain_may_be_on_hold(scene: Scene) -> None:
    await scene.domain(Domain("o2.example", alias_of="o.example", hold=True))
    assert (await scene.asked("joe@o2.example")).rule is Rule.DOMAIN_HOLD
    assert (await scene.asked("joe@o.example")).rule is Rule.ACCOUNT
    await scene.domain(Domain("o2.example", alias_of="o.example"))
    await scene.domain(Domain("o.example", hold=True))
    assert (await scene.asked("joe@o2.example")).rule is Rule.DOMAIN_HOLD
    assert scene.bus.asked == []


@pytest.mark.parametrize("other", ["gone.example", "o2.example"])
async def test_a_name_that_leads_to_no_domain_is_a_fault_of_ours(scene: Scene, other: str) -> None:
    await scene.domain(Domain("o3.example", alias_of=other))
    with pytest.raises(Unavailable):
        await scene.asked("joe@o3.example")


async def test_a_domain_that_is_not_ours_has_nobody(scene: Scene) -> None:
    assert (await scene.asked("joe@far.example")).rule is Rule.NOBODY


@pytest.mark.parametrize("address", ["joe@o.example", "who-x@o.example"])
async def test_a_directory_that_is_away_says_nothing(scene: Scene, address: str) -> None:
    await scene.asked("joe@o.example")
    scene.bus.away = True
    if address.startswith("who"):
        with pytest.raises(Unavailable):
            await scene.asked(address)
    else:
        assert (await scene.asked(address)).rule is Rule.ACCOUNT


async def test_what_we_made_of_a_sender_leads_back_to_him(scene: Scene) -> None:
    secret = "sixteen characters"
    made = srs.forward(parse_address("kim-x@far.example"), "o2.example", secret, time.time())
    assert made
    assert (await scene.asked(made)).rule is Rule.NOBODY
    await scene.control.set("srssecret", (secret,))
    found = await scene.asked(made)
    assert found.rule is Rule.SRS
    assert [action.name for action in found.actions] == ["forward"]
    assert len(set(scene.bus.asked)) <= 1
    forged = made.replace("=kim-x@", "=joe@")
    assert (await scene.asked(forged)).rule is Rule.NOBODY
