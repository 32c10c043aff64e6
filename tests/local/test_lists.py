"""Lists on a real queue: what is in it once a mail for a list has been delivered."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from services.local.forwarding import Forwarding
from services.local.lists import Lists
from tests.fakes import FakeClock
from tubepost import subjects, verp
from tubepost.delivery import Mail
from tubepost.directory import Directory
from tubepost.directory_values import MEMBERS, MODERATORS, MailingList, domain_key
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Delivered, Failed, Outcome
from tubepost.record import CHUNK, Held, Priority, Record, State, Wish
from tubepost.resolution import Forward
from tubepost.subjects import Key
from tubepost.tasks import background

SHARDS = 2
LIST = "news@example.org"
NEWS = MailingList(
    LIST, "boss@far.example", ("joe@example.org", "ann@far.example", "JOE@example.org")
)
BODY = b"Subject: hello\r\n\r\nHi.\r\n"
MAIL = Mail(
    Key(0, "0018bcfe5680000123456ab", "0"),
    "eve@far.example",
    (LIST,),
    "example.org",
    BODY,
    1,
    1_700_000_000.0,
    {LIST: Wish("NEVER")},
    "HDRS",
    "order-1",
)


@dataclass
class Scene:
    """A queue, and what the lists sent on to an owner."""

    store: MailStore
    lists: Lists
    to_owner: list[tuple[Mail, Forward]] = field(default_factory=list)

    async def post(self, mailing_list: MailingList = NEWS, mail: Mail = MAIL) -> Outcome:
        return await self.lists.post(mail, mailing_list, mailing_list.address)

    async def queued(self) -> list[Held]:
        """What is in the queue."""
        keys = await self.store.keys_of("*")
        found = [await self.store.read(key) for key in keys]
        return [held for held in found if held]

    async def only(self) -> Held:
        [held] = await self.queued()
        return held


@pytest.fixture
async def scene(bus: NatsBus, clock: FakeClock) -> AsyncIterator[Scene]:
    directory, store = Directory(bus), MailStore(bus, SHARDS)
    await Bucket(bus, subjects.DIRECTORY).put(domain_key("example.org"), {})
    sent_on: list[tuple[Mail, Forward]] = []

    async def send_on(mail: Mail, forward: Forward) -> Outcome:
        sent_on.append((mail, forward))
        return Delivered(text="sent on")

    async with background(directory.run()):
        await directory.loaded()
        forwarding = Forwarding(store, directory, clock)
        yield Scene(store, Lists(forwarding, send_on), sent_on)


async def test_one_mail_goes_to_all_members_each_once(scene: Scene) -> None:
    outcome = await scene.post()
    held = await scene.only()
    assert outcome == Delivered(text=f"did_0+2+0/qp {held.key.mail_id}/")
    assert held.record.state is State.SPLIT
    routes = await scene.store.routes(held)
    assert [(r.address, route.channel) for r, route in routes] == [
        ("joe@example.org", "local"),
        ("ann@far.example", "remote"),
    ]


async def test_each_copy_has_a_sender_that_names_its_member(scene: Scene) -> None:
    await scene.post()
    sender = (await scene.only()).record.sender
    assert verp.sender_for(sender, "ann@far.example") == ("news-return-ann=far.example@example.org")


async def test_the_members_get_the_author_s_mail_below_the_list_s_fields(scene: Scene) -> None:
    await scene.post()
    body = await scene.store.body(await scene.only())
    assert body.startswith(b"Delivered-To: news@example.org\r\nList-Id: <news.example.org>\r\n")
    assert body.endswith(b"\r\nPrecedence: list\r\n" + BODY)


async def test_what_the_author_wanted_to_hear_ends_at_the_list(scene: Scene) -> None:
    """RFC 3461 5.2.7: the list is delivered to; a member's copy has the owner for a sender."""
    outcome = await scene.post()
    assert isinstance(outcome, Delivered)
    assert not outcome.reports
    held = await scene.only()
    assert (held.record.ret, held.record.envid) == ("", "")
    assert {r.notify for r, _ in await scene.store.routes(held)} == {""}


async def test_mail_of_a_list_waits_behind_that_of_people(scene: Scene) -> None:
    await scene.post(mail=replace(MAIL, priority=Priority.INTERACTIVE))
    assert (await scene.only()).record.priority is Priority.BULK


async def test_one_member_needs_no_split(scene: Scene) -> None:
    await scene.post(replace(NEWS, members=("ann@far.example",)))
    record = (await scene.only()).record
    assert (record.state, record.waiting) == (State.PENDING, ("ann@far.example",))


async def test_a_list_without_members_takes_mail_that_nobody_gets(scene: Scene) -> None:
    assert await scene.post(replace(NEWS, members=(LIST,))) == Delivered(text="did_0+0+0/")
    assert await scene.queued() == []


@pytest.mark.parametrize(
    ("mailing_list", "sender", "taken"),
    [
        (NEWS, "eve@far.example", True),
        (replace(NEWS, posting=MEMBERS), "ANN@far.example", True),
        (replace(NEWS, posting=MEMBERS), "eve@far.example", False),
        (replace(NEWS, posting=MODERATORS), "ann@far.example", False),
        (replace(NEWS, posting=MODERATORS, moderators=("eve@far.example",)), "Eve@far.example", 1),
    ],
)
async def test_who_may_write(
    scene: Scene, mailing_list: MailingList, sender: str, taken: bool
) -> None:
    outcome = await scene.post(mailing_list, replace(MAIL, sender=sender))
    assert isinstance(outcome, Delivered if taken else Failed)
    assert len(await scene.queued()) == int(taken)
    if isinstance(outcome, Failed):
        text = "Sorry, you may not write to this list (#5.7.2)"
        assert (outcome.text, outcome.status) == (text, "5.7.2")


async def test_a_mail_that_has_been_on_the_list_fails(scene: Scene) -> None:
    body = b"List-Id: <news.example.org>\r\n" + BODY
    outcome = await scene.post(mail=replace(MAIL, body=body))
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.4.6"
    assert await scene.queued() == []


@pytest.mark.parametrize("sender", ["", "#@[]"])
async def test_a_report_to_a_list_goes_to_its_owner_and_to_no_member(
    scene: Scene, sender: str
) -> None:
    """Whatever the list allows: it must neither be distributed nor bounced."""
    mail = replace(MAIL, sender=sender)
    await scene.post(replace(NEWS, posting=MODERATORS), mail)
    assert scene.to_owner == [(mail, Forward(("boss@far.example",), LIST))]
    assert await scene.queued() == []


async def test_a_post_done_again_is_in_the_queue_once_though_the_list_has_changed(
    scene: Scene,
) -> None:
    """As after a crash between the post and its outcome."""
    await scene.post()
    first = await scene.only()
    await scene.post(replace(NEWS, members=("late@far.example", "ann@far.example")))
    assert await scene.only() == first
    addresses = [r.address for r, _ in await scene.store.routes(first)]
    assert addresses == ["joe@example.org", "ann@far.example"]


async def test_two_lists_in_one_mail_are_two_mails(scene: Scene) -> None:
    await scene.post()
    await scene.post(replace(NEWS, address="other@example.org"))
    assert len(await scene.queued()) == 2


async def test_ten_thousand_members_are_one_record(scene: Scene) -> None:
    members = tuple(f"member-number-{n}@host-{n % 500}.far.example" for n in range(10_000))
    await scene.post(replace(NEWS, members=members))
    held = await scene.only()
    assert held.record.count == 10_000
    assert tuple(r.address for r, _ in await scene.store.routes(held)) == members


@pytest.mark.parametrize("large", ["body", "members"])
async def test_what_lies_in_several_messages_is_never_of_two_versions(
    scene: Scene, large: str
) -> None:
    """Another version of the list makes another mail then: half of each would be neither."""
    mail = replace(MAIL, body=BODY + b"x" * CHUNK) if large == "body" else MAIL
    count = 10_000 if large == "members" else 2
    members = tuple(f"member-number-{n}@host-{n % 500}.far.example" for n in range(count))
    for version in (members, members, members[1:]):
        await scene.post(replace(NEWS, members=version), mail)
    records: list[Record] = [held.record for held in await scene.queued()]
    assert sorted(record.count for record in records if record.state is State.SPLIT)[-1] == count
    assert len(records) == 2
