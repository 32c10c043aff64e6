"""Lists, with a real nats-server: what is in the queue once a mail for a list was delivered."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.local.post import BODY, Local, running
from tubepost import verp
from tubepost.directory_values import MEMBERS, MODERATORS, MailingList
from tubepost.errors import StoreFull, TubepostError, Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import CHUNK, Held, Priority, State, Wish

LIST, JOE, ANN = "news@example.org", "joe@example.org", "ann@far.example"
EVE, BOB = "eve@far.example", "bob@far.example"
BOSS = "boss@far.example"
NEWS = MailingList(LIST, BOSS, (JOE, ANN, JOE.upper()))
TAKEN = Delivered(text="did_0+2+0/")


@pytest.fixture
async def local(bus: NatsBus, tmp_path: Path) -> AsyncIterator[Local]:
    async with running(bus, tmp_path) as local:
        await local.add(NEWS)
        yield local


async def deliver(local: Local, to: str = LIST, sender: str = EVE, **more: object) -> Outcome:
    [outcome] = await local.deliver(to, sender=sender, **more)  # type: ignore[arg-type]
    return outcome


async def only(local: Local) -> Held:
    [held] = await local.queued()
    return held


async def addresses(local: Local, held: Held) -> list[str]:
    return [recipient.address for recipient, _ in await local.queue.routes(held)]


# --- what the members get


async def test_one_mail_goes_to_all_members_each_once(local: Local) -> None:
    assert await deliver(local) == TAKEN
    held = await only(local)
    assert (held.record.state, held.record.count) == (State.SPLIT, 2)
    routes = await local.queue.routes(held)
    assert [(r.address, where.channel) for r, where in routes] == [
        (JOE, "local"), (ANN, "remote"),
    ]  # fmt: skip


async def test_each_copy_has_a_sender_that_names_its_member(local: Local) -> None:
    await deliver(local)
    sender = (await only(local)).record.sender
    assert verp.sender_for(sender, ANN) == "news-return-ann=far.example@example.org"
    assert verp.owner(sender) == "news-return-@example.org"


async def test_the_members_get_the_author_s_mail_below_the_list_s_fields(local: Local) -> None:
    await deliver(local)
    body = await local.queue.body(await only(local))
    assert body.startswith(b"Delivered-To: news@example.org\r\nList-Id: <news.example.org>\r\n")
    assert body.endswith(b"\r\nPrecedence: list\r\n" + BODY)


async def test_what_the_author_wants_to_hear_ends_at_the_list(local: Local) -> None:
    """RFC 3461 5.2.7: it is the list that it was delivered to."""
    wishes = {LIST: Wish("SUCCESS,FAILURE")}
    assert await deliver(local, wishes=wishes, ret="HDRS", envid="order-1") == TAKEN
    held = await only(local)
    assert (held.record.ret, held.record.envid) == ("", "")
    assert {r.notify for r, _ in await local.queue.routes(held)} == {""}


async def test_mail_of_a_list_waits_behind_that_of_people(local: Local) -> None:
    await deliver(local, priority=Priority.INTERACTIVE)
    assert (await only(local)).record.priority is Priority.BULK


async def test_one_member_needs_no_split(local: Local) -> None:
    await local.add(replace(NEWS, members=(ANN,)))
    await deliver(local)
    record = (await only(local)).record
    assert (record.state, record.waiting) == (State.PENDING, (ANN,))


async def test_a_member_in_other_letters_gets_it_as_smtputf8(local: Local) -> None:
    await local.add(replace(NEWS, members=(ANN, "zoë@far.example")))
    await deliver(local)
    assert (await only(local)).record.smtputf8


async def test_a_list_without_members_takes_mail_that_nobody_gets(local: Local) -> None:
    await local.add(replace(NEWS, members=(LIST,)))
    assert await deliver(local) == Delivered(text="did_0+0+0/")
    assert await local.queued() == []


async def test_ten_thousand_members_are_one_record(local: Local) -> None:
    members = tuple(f"member-number-{n}@host-{n % 500}.far.example" for n in range(10_000))
    await local.add(replace(NEWS, members=members))
    assert await deliver(local) == Delivered(text="did_0+10000+0/")
    held = await only(local)
    assert held.record.count == 10_000
    assert await addresses(local, held) == list(members)


# --- who may write


@pytest.mark.parametrize(
    ("posting", "sender", "taken"),
    [
        ("open", EVE, True),
        (MEMBERS, "ANN@far.example", True),
        (MEMBERS, "mod@far.example", True),
        (MEMBERS, EVE, False),
        (MODERATORS, ANN, False),
        (MODERATORS, "Mod@far.example", True),
    ],
)
async def test_who_may_write(local: Local, posting: str, sender: str, taken: bool) -> None:
    await local.add(replace(NEWS, posting=posting, moderators=("mod@far.example",)))
    text = "Sorry, you may not write to this list (#5.7.2)"
    refused = Failed(text=text, status="5.7.2")
    assert await deliver(local, sender=sender) == (TAKEN if taken else refused)
    assert len(await local.queued()) == int(taken)


async def test_what_a_verp_sender_posts_is_judged_as_at_rcpt(local: Local) -> None:
    """There the sender has not been made one for this recipient yet."""
    await local.add(replace(NEWS, posting=MEMBERS))
    for box, left in (("ann", 0), ("eve", 1)):
        await local.put(LIST, sender=f"{box}@far.example-@[]", mail_id="0" * 22 + box[0])
        left_over = await local.work()
        assert len([h for h in left_over if h.record.state is State.BOUNCE]) == left


@pytest.mark.parametrize("posting", ["members", MODERATORS])
@pytest.mark.parametrize("known", [True, False])
async def test_a_closed_list_takes_mail_of_a_list_that_is_known_to_it(
    local: Local, posting: str, known: bool
) -> None:
    """Else the owner of that list is told, not the author."""
    inner, by = "inner@example.org", (LIST,) if known else ()
    await local.add(MailingList(inner, JOE, (*by, BOB), posting=posting, moderators=by))
    await local.add(replace(NEWS, members=(inner,)))
    await local.put(LIST)
    [left] = [held.record for held in await local.work()]
    if known:
        assert (left.waiting, left.sender) == ((BOB,), "inner-return-@example.org-@[]")
    else:
        assert (left.state, left.recipients[0].status) == (State.BOUNCE, "5.7.2")
        assert verp.owner(left.sender) == "news-return-@example.org"


# --- the owner


@pytest.mark.parametrize("sender", ["", "#@[]"])
@pytest.mark.parametrize("posting", ["open", MODERATORS])
async def test_a_report_to_a_list_goes_to_its_owner_and_to_no_member(
    local: Local, sender: str, posting: str
) -> None:
    """It must neither be distributed nor bounced."""
    await local.add(replace(NEWS, posting=posting))
    assert isinstance(await deliver(local, sender=sender), Delivered)
    held = await only(local)
    assert (held.record.sender, held.record.waiting) == (sender, (BOSS,))
    assert held.payload == b"Delivered-To: news@example.org\r\n" + BODY


@pytest.mark.parametrize(
    "to",
    [
        "news-owner@example.org",
        "news-return-ann=far.example@example.org",
        "News-Return-@example.org",
    ],
)
@pytest.mark.parametrize("sender", ["", "#@[]", EVE])
@pytest.mark.parametrize("extensions", [("-", "+"), ("none",)])
async def test_the_list_s_own_addresses_are_its_owner_s(
    local: Local, to: str, sender: str, extensions: tuple[str, ...]
) -> None:
    await local.control.set("extensions", extensions)
    assert isinstance(await deliver(local, to, sender), Delivered)
    held = await only(local)
    assert (held.record.sender, held.record.waiting) == (sender, (BOSS,))
    assert held.payload == f"Delivered-To: {to}\r\n".encode() + BODY


# --- loops


async def test_a_mail_that_has_been_on_the_list_fails(local: Local) -> None:
    outcome = await deliver(local, body=b"List-Id: <news.example.org>\r\n" + BODY)
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.4.6"
    assert await local.queued() == []


async def test_lists_that_have_each_other_for_a_member_reach_everybody(local: Local) -> None:
    """As a mail of the other list comes to this one: that list is left out, and nobody bounces."""
    other = "other@example.org"
    await local.add(replace(NEWS, members=(ANN, other)))
    body = b"Delivered-To: Other@example.org\r\nList-Id: <other.example.org>\r\n" + BODY
    assert await deliver(local, body=body) == Delivered(text="did_0+1+0/")
    assert (await only(local)).record.waiting == (ANN,)


async def test_lists_that_have_nobody_but_each_other_end_with_an_owner(local: Local) -> None:
    """What is left in the queue: that the first list has to be told of a loop."""
    other = "other@example.org"
    await local.add(replace(NEWS, members=(other,)))
    await local.add(MailingList(other, JOE, (LIST,)))
    await local.put(LIST)
    [looped] = [held.record for held in await local.work()]
    assert (looped.state, looped.recipients[0].status) == (State.BOUNCE, "5.4.6")
    assert verp.owner(looped.sender) == "news-return-@example.org"


async def test_an_owner_who_leads_back_to_the_list_ends(local: Local) -> None:
    """A report nobody can be told of: it is left as a double bounce."""
    await local.add(replace(NEWS, owner=LIST))
    await local.put("news-return-ann=far.example@example.org", sender="")
    [looped] = [held.record for held in await local.work()]
    assert (looped.state, looped.recipients[0].status) == (State.BOUNCE, "5.4.6")
    assert looped.sender == ""


# --- a delivery that is tried again


async def test_a_post_done_again_is_in_the_queue_once_though_the_list_has_changed(
    local: Local,
) -> None:
    """As after a crash between the post and its outcome."""
    await deliver(local)
    first = await only(local)
    await local.add(replace(NEWS, members=("late@far.example", ANN)))
    assert await deliver(local) == TAKEN
    assert await only(local) == first
    assert await addresses(local, first) == [JOE, ANN]


async def test_two_lists_in_one_mail_are_two_mails(local: Local) -> None:
    await local.add(replace(NEWS, address="other@example.org"))
    assert await local.deliver(LIST, "other@example.org") == [TAKEN, TAKEN]
    assert len(await local.queued()) == 2


@pytest.mark.parametrize("large", ["body", "members"])
async def test_what_lies_in_several_messages_is_never_of_two_versions(
    local: Local, large: str
) -> None:
    """Another version of a long list makes another mail: half of each would be neither. Of a big
    mail the first version counts."""
    body = BODY + b"x" * CHUNK if large == "body" else BODY
    count = 10_000 if large == "members" else 3
    members = tuple(f"member-number-{n}@host-{n % 500}.far.example" for n in range(count))
    for version in (members, members, members[1:]):
        await local.add(replace(NEWS, members=version))
        await deliver(local, body=body)
    held = await local.queued()
    found = [await addresses(local, one) for one in held]
    versions = {"body": [list(members)], "members": [list(members[1:]), list(members)]}
    assert sorted(found, key=len) == versions[large]


@pytest.mark.parametrize("error", [StoreFull("full"), Unavailable("away")])
async def test_a_queue_that_takes_nothing_defers(local: Local, error: TubepostError) -> None:
    local.store.before.append(error)
    assert isinstance(await deliver(local), Deferred)
    assert await deliver(local) == TAKEN
    await only(local)
