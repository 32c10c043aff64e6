"""Deliveries into mailboxes with a quota, on real folders: what fits, what is booked, warnings."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.local.courier import LocalCourier
from services.local.forwarding import Forwarding
from services.local.writer import Writer
from tests.fakes import MemoryBus
from tests.local.quota_scene import DOMAIN, Scene, scene_on
from tubepost import mailbox_count
from tubepost.delivery import Mail
from tubepost.directory_values import Account
from tubepost.mailstore import MailStore
from tubepost.outcome import Deferred, Delivered, Failed
from tubepost.quota import Quota, Used
from tubepost.resolver import Resolver
from tubepost.subjects import Key
from tubepost.tasks import background

FULL = Deferred(text="user is over quota (#4.2.2)", status="4.2.2")
DOMAIN_FULL = Deferred(text="domain is over quota (#4.2.2)", status="4.2.2")
OLD = 901.0
A_DAY = 86_401.0


@pytest.fixture
async def scene(memory_bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_on(memory_bus, tmp_path) as found:
        await found.control.set("quotawarning", ("0",))
        yield found


def there(scene: Scene, account: Account) -> Used:
    return mailbox_count.count(str(scene.maildir(account)), scene.clock())


async def test_an_exact_fit_passes_and_an_octet_more_waits(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    assert await scene.deliver(ann, 600) is None
    assert await scene.deliver(ann, 401) == FULL
    assert await scene.deliver(ann, 400) is None
    assert await scene.deliver(ann, 1) == FULL
    assert scene.size_file(ann) == ["1000S", "0 0", "600 1", "400 1"]
    assert len(scene.mails(ann)) == 2
    assert scene.marks(ann) == []


async def test_mails_are_counted_too(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(0, 2))
    assert [await scene.deliver(ann) for _ in range(3)] == [None, None, FULL]
    assert scene.size_file(ann)[0] == "2C"


async def test_without_a_quota_nothing_is_kept(scene: Scene) -> None:
    ann = await scene.account("ann")
    assert await scene.deliver(ann) is None
    assert sorted(path.name for path in scene.maildir(ann).iterdir()) == ["cur", "new", "tmp"]
    assert not (scene.root / ".domains").exists()


async def test_overquota_may_refuse(scene: Scene) -> None:
    await scene.control.set("overquota", ("refuse",))
    ann = await scene.account("ann", Quota(100))
    failed = Failed(text="user is over quota (#5.2.2)", status="5.2.2")
    assert [await scene.deliver(ann) for _ in range(2)] == [None, failed]
    await scene.set_domain(Quota(150))
    bob = await scene.account("bob")
    failed = Failed(text="domain is over quota (#5.2.2)", status="5.2.2")
    assert await scene.deliver(bob) == failed


@pytest.mark.parametrize("overquota", ["defer", "refuse"])
async def test_a_mail_that_never_fits_is_refused_at_once(scene: Scene, overquota: str) -> None:
    await scene.control.set("overquota", (overquota,))
    ann = await scene.account("ann", Quota(100))
    assert await scene.deliver(ann) is None
    failed = Failed(text="mail is bigger than the quota of the user (#5.2.3)", status="5.2.3")
    assert await scene.deliver(ann, 101) == failed
    await scene.set_domain(Quota(90))
    failed = Failed(text="mail is bigger than the quota of the domain (#5.2.3)", status="5.2.3")
    assert await scene.deliver(ann, 91) == failed
    assert await scene.deliver(await scene.account("bob"), 91) == failed


async def test_a_mailbox_that_two_recipients_lead_to_is_booked_once(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    boxes = (f"ann-{letter}@{DOMAIN}" for letter in "abc")
    mail = Mail(Key(0, "m1", "0"), "", tuple(boxes), "", b"Hi.\r\n", 1, 0.0)
    writer = Writer(scene.root)
    async with background(writer.run()):
        outcomes = await courier_of(scene, writer).deliver(mail)
    assert set(outcomes.values()) == {Delivered(text="did_1+0+0/")}
    [path] = scene.mails(ann)
    assert there(scene, ann) == Used(path.stat().st_size, 1)
    assert scene.size_file(ann)[1:] == ["0 0", f"{path.stat().st_size} 1"]


def courier_of(scene: Scene, writer: Writer) -> LocalCourier:
    """With the scene's quotas."""
    resolver = Resolver(scene.directory, scene.control)
    forwarding = Forwarding(MailStore(scene.bus, 2), scene.directory, scene.control, scene.clock)
    return LocalCourier(resolver, scene.root, writer, forwarding, scene.quotas)


async def test_the_courier_gives_each_recipient_its_outcome(scene: Scene) -> None:
    ann, bob = await scene.account("ann", Quota(0, 1)), await scene.account("bob")
    assert await scene.deliver(ann) is None
    mail = Mail(Key(0, "m1", "0"), "", (ann.address, bob.address), "", b"Hi.\r\n", 1, 0.0)
    outcomes = await courier_of(scene, Writer(scene.root)).deliver(mail)
    assert outcomes == {ann.address: FULL, bob.address: Delivered(text="did_1+0+0/")}


async def test_a_mail_that_cannot_be_written_is_given_back(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    scene.broken = OSError(errno.ENOSPC, "full")
    assert await scene.deliver(ann, 1000) is scene.broken
    assert scene.marks(ann) == []
    scene.broken = None
    assert await scene.deliver(ann, 1000) is None


async def test_a_mail_that_is_tried_again_is_booked_once(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    parcel = scene.parcel(ann, 600)
    assert await scene.quotas.put(ann, parcel) is None
    assert await scene.quotas.put(ann, parcel) is None  # as if the outcome had been lost
    assert await scene.deliver(ann, 400) is None
    assert await scene.deliver(ann, 1) == FULL


async def test_a_mail_that_a_reader_has_moved_is_booked_once(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    parcel = scene.parcel(ann, 600)
    assert await scene.quotas.put(ann, parcel) is None
    os.rename(parcel.path("new"), parcel.path("cur", ":2,S"))

    async def finds_it(_parcel: object) -> None:
        """A writer that looks where an earlier try has put it."""

    scene.quotas._put = finds_it
    assert await scene.quotas.put(ann, parcel, again=True) is None
    assert await scene.room.answer("", ann.address.encode()) == b'{"used": 600, "mails": 1}'


async def test_a_disk_that_hangs_leaves_it_booked_for_the_next_try(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    parcel = scene.parcel(ann, 600)
    scene.broken = OSError(errno.ETIMEDOUT, "hangs")
    assert await scene.quotas.put(ann, parcel) is scene.broken
    scene.broken = None
    assert await scene.deliver(ann, 401) == FULL
    assert await scene.quotas.put(ann, parcel) is None
    assert await scene.deliver(ann, 400) is None


async def test_parallel_deliveries_share_what_is_left_exactly(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    outcomes = await asyncio.gather(*(scene.deliver(ann, 100) for _ in range(40)))
    assert outcomes.count(None) == 10
    assert outcomes.count(FULL) == 30
    assert there(scene, ann) == Used(1000, 10)


async def test_the_domain_has_a_quota_of_its_own(scene: Scene) -> None:
    await scene.set_domain(Quota(1000, 100))
    ann, bob = await scene.account("ann"), await scene.account("bob", Quota(700))
    assert await scene.deliver(ann, 300) is None
    assert await scene.deliver(bob, 700) is None
    assert await scene.deliver(ann, 1) == DOMAIN_FULL
    assert scene.size_file(ann) == ["0S", "0 0", "300 1"]
    assert scene.size_file(bob) == ["700S", "0 0", "700 1"]
    [size_file] = (scene.root / ".domains").glob("*/example.net/domainsize")
    assert size_file.read_text().splitlines() == ["1000S,100C", "0 0", "300 1", "700 1"]


async def test_parallel_deliveries_share_the_room_of_a_domain(scene: Scene) -> None:
    await scene.set_domain(Quota(1000))
    accounts = [await scene.account(f"user{n}", Quota(900)) for n in range(5)]
    outcomes = await asyncio.gather(*(scene.deliver(a, 100) for a in accounts * 4))
    assert outcomes.count(None) == 10
    assert sum(there(scene, account).octets for account in accounts) == 1000


async def test_a_domain_is_counted_over_what_was_there_before(scene: Scene) -> None:
    ann, bob = await scene.account("ann"), await scene.account("bob")
    assert await scene.deliver(ann, 300) is None
    assert await scene.deliver(bob, 300) is None
    await scene.set_domain(Quota(1000))
    assert await scene.deliver(ann, 401) == DOMAIN_FULL
    assert await scene.deliver(ann, 400) is None


async def test_a_domain_that_had_no_quota_for_a_while_is_counted_anew(scene: Scene) -> None:
    """So are its accounts that have none of their own: nobody booked what came meanwhile."""
    await scene.set_domain(Quota(1000))
    ann = await scene.account("ann")
    assert await scene.deliver(ann, 100) is None
    await scene.set_domain()
    assert await scene.deliver(ann, 800) is None
    scene.clock.advance(10)
    await scene.set_domain(Quota(1000), since=scene.clock())
    assert await scene.deliver(ann, 101) == DOMAIN_FULL
    assert await scene.deliver(ann, 100) is None
    assert scene.size_file(ann) == ["0S", "900 2", "100 1"]


async def test_an_account_that_had_no_quota_for_a_while_is_counted_anew(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    assert await scene.deliver(ann, 100) is None
    ann = await scene.account("ann")
    assert await scene.deliver(ann, 800) is None
    scene.clock.advance(10)
    ann = await scene.account("ann", Quota(1000), since=scene.clock())
    assert await scene.deliver(ann, 101) == FULL
    assert await scene.deliver(ann, 100) is None


async def test_a_full_domain_is_counted_again_once_its_count_is_old(scene: Scene) -> None:
    await scene.set_domain(Quota(1000))
    ann, bob = await scene.account("ann"), await scene.account("bob")
    assert await scene.deliver(ann, 600) is None
    assert await scene.deliver(bob, 400) is None
    for mail in scene.mails(ann):  # by a program that does not book into the domain
        mail.unlink()
    (scene.maildir(ann) / "maildirsize").unlink()
    assert await scene.deliver(bob, 400) == DOMAIN_FULL
    scene.clock.advance(OLD)
    assert await scene.deliver(bob, 400) is None
    assert await scene.deliver(bob, 201) == DOMAIN_FULL


async def test_a_full_mailbox_is_counted_again_once_its_count_is_old(scene: Scene) -> None:
    ann = await scene.account("ann", Quota(1000))
    assert await scene.deliver(ann, 1000) is None
    scene.mails(ann)[0].unlink()
    assert await scene.deliver(ann, 1000) == FULL
    scene.clock.advance(OLD)
    assert await scene.deliver(ann, 1000) is None


async def test_where_the_mail_root_is_not_there_mail_waits(
    memory_bus: MemoryBus, tmp_path: Path
) -> None:
    async with scene_on(memory_bus, tmp_path / "away") as scene:
        await scene.set_domain(Quota(1000))
        ann = await scene.account("ann", Quota(1000))
        assert isinstance(await scene.deliver(ann), OSError)
        assert not (tmp_path / "away").exists()


async def test_a_count_that_fails_makes_the_domain_wait(scene: Scene) -> None:
    await scene.set_domain(Quota(1000))
    ann, bob = await scene.account("ann"), await scene.account("bob")
    home = scene.root / bob.home
    home.mkdir(parents=True)
    (home / "Maildir").mkdir()
    (home / "Maildir" / "new").write_text("no folder")
    text = "The mails of example.net are being counted for its quota. (#4.3.0)"
    assert await scene.deliver(ann) == Deferred(text=text, status="4.3.0")
    (home / "Maildir" / "new").unlink()
    assert await scene.deliver(ann) is None


class TestWarning:
    """The mail that says that a mailbox is nearly full."""

    @pytest.fixture
    async def ann(self, scene: Scene) -> Account:
        await scene.control.set("quotawarning", ("90",))
        await scene.set_domain(Quota(100_000))
        return await scene.account("ann", Quota(10_000))

    def warnings(self, scene: Scene, account: Account) -> list[Path]:
        return [path for path in scene.mails(account) if "quotawarn" in path.name]

    async def test_it_comes_from_90_percent_on(self, scene: Scene, ann: Account) -> None:
        assert await scene.deliver(ann, 8999) is None
        assert self.warnings(scene, ann) == []
        assert await scene.deliver(ann, 1) is None
        [warning] = self.warnings(scene, ann)
        text = warning.read_text()
        assert text.startswith("Return-Path: <>\nDelivered-To: ann@example.net\nFrom: MAILER-")
        assert "\n\nYour mailbox is 90 % full.\n" in text
        assert f",S={warning.stat().st_size}," in warning.name

    async def test_it_is_booked_though_there_is_no_room(self, scene: Scene, ann: Account) -> None:
        assert await scene.deliver(ann, 10_000) is None
        held = there(scene, ann)
        assert held.mails == 2
        of_ann = {"used": held.octets, "mails": 2}
        asked = await scene.room.answer("", ann.address.encode())
        assert asked == str({**of_ann, "domain": of_ann}).replace("'", '"').encode()

    async def test_it_comes_once_a_day(self, scene: Scene, ann: Account) -> None:
        assert await scene.deliver(ann, 9000) is None
        assert await scene.deliver(ann, 10) is None
        assert len(self.warnings(scene, ann)) == 1
        scene.clock.advance(A_DAY)
        assert await scene.deliver(ann, 10) is None
        assert len(self.warnings(scene, ann)) == 2

    async def test_it_comes_once_under_parallel_deliveries(
        self, scene: Scene, ann: Account
    ) -> None:
        assert await scene.deliver(ann, 8900) is None
        outcomes = await asyncio.gather(*(scene.deliver(ann, 20) for _ in range(10)))
        assert outcomes == [None] * 10
        assert len(self.warnings(scene, ann)) == 1

    async def test_the_text_and_the_limit_are_settings(self, scene: Scene, ann: Account) -> None:
        await scene.control.set("quotawarning", ("50",))
        await scene.control.set("quotawarnmessage", ("Zu {percent} % voll.", "", "Grüße"))
        assert await scene.deliver(ann, 5555) is None
        [warning] = self.warnings(scene, ann)
        assert warning.read_text().endswith("\n\nZu 55 % voll.\n\nGrüße\n")

    async def test_one_that_cannot_be_written_defers_nothing(
        self, scene: Scene, ann: Account, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write, first = scene.write, scene.parcel(ann, 9500)

        async def only_the_first(parcel: object) -> OSError | None:
            return await write(first) if parcel is first else OSError(errno.ENOSPC, "full")

        scene.quotas._put = only_the_first
        assert await scene.quotas.put(ann, first) is None
        assert there(scene, ann) == Used(9500, 1)
        asked = await scene.room.answer("", ann.address.encode())
        assert b'"used": 9500, "mails": 1' in asked
