"""Aliases and forwards, with a real nats-server and real Maildirs: what goes on, and how often."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.local.forwarding import derived_id
from tests.local.post import BODY, MAIL_ID, SENDER, Local, running
from tests.tubepost.telling import Told
from tubepost import subjects
from tubepost.delivery import Mail
from tubepost.errors import StoreFull, Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Failed
from tubepost.record import CHUNK, INLINE_LIMIT, Held, Priority, State, Wish
from tubepost.trace_headers import MAX_HOPS

JOE, ANN, BOB = "joe@example.org", "ann@example.org", "bob@elsewhere.example"
TEAM = "team@example.org"


@pytest.fixture
async def local(bus: NatsBus, tmp_path: Path) -> AsyncIterator[Local]:
    async with running(bus, tmp_path) as local:
        yield local


async def only(local: Local) -> Held:
    [held] = await local.queued()
    return held


# --- what goes on


async def test_an_alias_makes_one_new_mail(local: Local) -> None:
    await local.alias(TEAM, BOB)
    assert await local.deliver(TEAM) == [Delivered(text="did_0+1+0/", reports=True)]
    held = await only(local)
    assert held.payload == b"Delivered-To: team@example.org\r\n" + BODY
    record = held.record
    assert (record.sender, record.waiting, record.channel) == (SENDER, (BOB,), subjects.REMOTE)
    assert (record.size, record.created) == (len(held.payload), local.clock())


async def test_several_targets_are_one_mail_that_is_split_each_once(local: Local) -> None:
    await local.alias(TEAM, JOE, BOB, "JOE@example.org", ANN)
    assert await local.deliver(TEAM) == [Delivered(text="did_0+3+0/")]
    held = await only(local)
    assert held.record.state is State.SPLIT
    routes = await local.queue.routes(held)
    assert [(r.address, where.channel) for r, where in routes] == [
        (JOE, "local"), (BOB, "remote"), (ANN, "local"),
    ]  # fmt: skip


async def test_an_account_keeps_its_copy_or_not(local: Local) -> None:
    await local.account(JOE, BOB)
    assert await local.deliver(JOE) == [Delivered(text="did_1+1+0/")]
    await local.account(JOE, BOB, keep=False)
    assert await local.deliver(JOE) == [Delivered(text="did_0+1+0/", reports=True)]
    assert len(local.mails(JOE)) == 1


async def test_what_a_mail_is_like_stays_with_it(local: Local) -> None:
    await local.alias(TEAM, BOB)
    wish = Wish("SUCCESS,DELAY", "rfc822;t@x.y")
    await local.deliver(
        TEAM, wishes={TEAM: wish}, ret="HDRS", envid="e", smtputf8=True, priority=Priority.BULK
    )
    record = (await only(local)).record
    [bob] = record.recipients
    assert (bob.notify, bob.orcpt) == ("SUCCESS,DELAY", "rfc822;t@x.y")
    assert (record.ret, record.envid, record.smtputf8) == ("HDRS", "e", True)
    assert record.priority is Priority.BULK


async def test_an_alias_s_owner_gets_the_reports(local: Local) -> None:
    await local.alias(TEAM, BOB, owner=ANN)
    await local.deliver(TEAM)
    assert (await only(local)).record.sender == ANN


async def test_it_is_told_as_an_event_and_in_the_log(bus: NatsBus, tmp_path: Path) -> None:
    told = Told()
    with capture_logs() as lines:
        async with running(bus, tmp_path, told) as local:
            await local.alias(TEAM, BOB)
            await local.deliver(TEAM)
            held = await only(local)
    [event] = told.events
    [line] = [line for line in lines if line["event"] == "mail.accepted"]
    for said in (event, line):
        assert (said["source"], said["forward_of"], said["sender"]) == ("forward", MAIL_ID, SENDER)
        assert (list(said["recipients"]), said["size"]) == ([BOB], held.record.size)
    assert (event["event"], event["mail"], line["mail_id"]) == (
        "accepted", held.key.mail_id, held.key.mail_id,
    )  # fmt: skip


async def test_ids_are_as_long_after_many_hops_and_share_a_subject_with_the_first() -> None:
    first = "018bcfe56800000000abcde"
    ids = [derived_id(first, "forward a@x.y")]
    for hop in range(50):
        ids.append(derived_id(ids[-1], f"forward a{hop}@x.y"))
    assert {len(i) for i in ids} == {48}
    assert len(set(ids)) == len(ids)
    assert {subjects.mail_events(i) for i in ids} == {subjects.mail_events(first)}
    assert ids[0] == derived_id(first, "forward A@X.Y")


async def test_one_address_makes_one_mail_of_another_whichever_way_that_came() -> None:
    first = "018bcfe56800000000abcde"
    ways = [derived_id(first, f"forward {name}@x.y") for name in "ab"]
    assert len({derived_id(way, "forward c@x.y") for way in ways}) == 1
    reports = [f"{first}b0n0", f"{first}b1n0", f"{ways[0]}b0n0"]
    assert len({derived_id(mail, "forward c@x.y") for mail in (first, *reports)}) == 4


async def test_a_big_mail_that_comes_two_ways_is_sent_on_once_and_whole(local: Local) -> None:
    """Its messages are never those of two versions: what it was for before stands in it."""
    await local.alias("one@example.org", "all@example.org")
    await local.alias("other@example.org", "all@example.org")
    await local.alias("all@example.org", "far@far.example")
    body = b"Subject: x\r\n\r\n" + b"y" * (2 * CHUNK) + b"\r\n"
    await local.deliver("one@example.org", "other@example.org", body=body)
    for held in await local.queued():
        mail = Mail(held.key, SENDER, held.record.waiting, "", await local.queue.body(held), 1, 1e9)
        assert [type(o) for o in (await local.courier.deliver(mail)).values()] == [Delivered]
    [sent] = [h for h in await local.queued() if h.record.waiting == ("far@far.example",)]
    whole = await local.queue.body(sent)
    assert (len(whole), whole.endswith(body)) == (sent.record.size, True)


# --- how often


def big() -> bytes:
    return BODY + b"x" * INLINE_LIMIT


@pytest.mark.parametrize("targets", [(BOB,), (BOB, JOE)])
@pytest.mark.parametrize("body", [BODY, big()], ids=["small", "big"])
@pytest.mark.parametrize("error", [Unavailable("its word was lost"), KeyError("a bug")])
async def test_what_failed_after_it_was_stored_is_stored_once(
    local: Local, targets: tuple[str, ...], body: bytes, error: Exception
) -> None:
    await local.alias(TEAM, *targets)
    local.store.after = [error]
    [outcome] = await local.deliver(TEAM, body=body)
    assert isinstance(outcome, Deferred)
    assert isinstance((await local.deliver(TEAM, body=body))[0], Delivered)
    held = await only(local)
    assert await local.queue.body(held) == b"Delivered-To: team@example.org\r\n" + body


async def test_a_delivery_that_was_cut_off_stores_nothing_twice(local: Local) -> None:
    """As by a crash after the forward was stored, before the outcome was."""
    await local.account(JOE, BOB)
    local.store.after = [asyncio.CancelledError()]
    with pytest.raises(asyncio.CancelledError):
        await local.deliver(JOE)
    first = await only(local)
    assert await local.deliver(JOE) == [Delivered(text="did_1+1+0/")]
    assert (await only(local)).seq == first.seq
    assert len(local.mails(JOE)) == 1


@pytest.mark.parametrize("targets", [(BOB,), (BOB, JOE)])
@pytest.mark.parametrize("body", [BODY, big()], ids=["small", "big"])
async def test_nor_where_the_forward_has_left_the_queue_meanwhile(
    local: Local, targets: tuple[str, ...], body: bytes
) -> None:
    """The server knows the id for ten minutes, also of what is gone."""
    await local.alias(TEAM, *targets)
    await local.deliver(TEAM, body=body)
    held = await only(local)
    await local.queue.forget_body(held.key.mail_id)
    await local.queue.forget(held)
    assert isinstance((await local.deliver(TEAM, body=body))[0], Delivered)
    assert await local.queued() == []


@pytest.mark.parametrize("meanwhile", ["left", "read", "deleted"])
async def test_only_the_branch_that_was_deferred_is_tried_again(
    local: Local, meanwhile: str
) -> None:
    await local.account(JOE, BOB)
    local.store.before = [StoreFull("full")]
    first = await local.put(JOE)
    await local.attempt(first)
    waiting = await local.held(first.key)
    [joe] = waiting.record.recipients
    assert (joe.done, joe.status) == (("store",), "4.3.1")
    [mail] = local.mails(JOE)
    if meanwhile == "read":
        mail.rename(mail.parent.parent / "cur" / f"{mail.name}:2,S")
    elif meanwhile == "deleted":
        mail.unlink()
    await local.attempt(waiting)
    assert len(local.mails(JOE)) == (meanwhile != "deleted")
    assert (await only(local)).record.waiting == (BOB,)


async def test_a_mailbox_that_cannot_be_written_does_not_forward_twice(local: Local) -> None:
    await local.account(JOE, BOB)
    (local.root / JOE).write_text("not a folder")
    first = await local.put(JOE)
    await local.attempt(first)
    waiting = await local.held(first.key)
    assert waiting.record.recipients[0].done == ("forward",)
    (local.root / JOE).unlink()
    [gone] = [h for h in await local.queued() if h.key != first.key]
    await local.queue.forget(gone)
    await local.attempt(waiting)
    assert (len(local.mails(JOE)), await local.queued()) == (1, [])


async def test_what_is_done_stays_done_where_the_directory_has_changed(local: Local) -> None:
    await local.account(JOE)
    assert await local.deliver(JOE, done={JOE: ("store",)}) == [Delivered(text="did_0+0+0/")]
    assert local.mails(JOE) == []


async def test_one_recipient_s_bug_is_not_another_s(local: Local) -> None:
    await local.alias(TEAM, BOB)
    local.store.before = [KeyError("a bug")]
    team, ann = await local.deliver(TEAM, ANN)
    assert isinstance(team, Deferred)
    assert ann == Delivered(text="did_1+0+0/")


# --- loops


async def test_aliases_that_lead_to_each_other_bounce_once(local: Local) -> None:
    await local.alias("a@example.org", "b@example.org")
    await local.alias("b@example.org", "a@example.org")
    await local.put("a@example.org")
    [left] = await local.work()
    assert (left.record.state, left.record.recipients[0].status) == (State.BOUNCE, "5.4.6")
    assert left.record.sender == SENDER


async def test_teams_that_name_each_other_reach_everybody_and_nobody_bounces(local: Local) -> None:
    await local.alias("a@example.org", "b@example.org")
    await local.account(JOE, "b@example.org")
    await local.alias("b@example.org", "joe@other.example", "a@example.org", BOB)
    body = b"Delivered-To: a@example.org\r\nDelivered-To: joe@example.org\r\n" + BODY
    assert await local.deliver("b@example.org", body=body) == [
        Delivered(text="did_0+1+0/", reports=True)
    ]
    assert (await only(local)).record.waiting == (BOB,)


async def test_a_forward_that_leads_back_goes_to_the_others_and_keeps_the_copy(
    local: Local,
) -> None:
    await local.account(JOE, TEAM)
    await local.alias(TEAM, JOE, BOB)
    await local.put(JOE)
    [left] = [held.record for held in await local.work()]
    assert (left.waiting, left.channel) == ((BOB,), subjects.REMOTE)
    assert len(local.mails(JOE)) == 1


async def test_a_forward_that_leads_back_to_nobody_else_bounces_once(local: Local) -> None:
    await local.account(JOE, TEAM)
    await local.alias(TEAM, JOE)
    await local.put(JOE)
    [left] = [held.record for held in await local.work()]
    assert (left.state, left.recipients[0].status) == (State.BOUNCE, "5.4.6")
    assert len(local.mails(JOE)) == 1


async def test_mail_for_a_catch_all_that_was_removed_waits(local: Local) -> None:
    """It has been taken for somebody, and the directory can be put right."""
    await local.domain("example.org", unknown="gone@example.org")
    await local.deliver("whoever@example.org")
    held = await only(local)
    assert held.record.waiting == ("gone@example.org",)
    [outcome] = await local.deliver("gone@example.org", body=held.payload)
    assert isinstance(outcome, Deferred)
    assert outcome.status == "4.3.5"


async def test_catch_alls_of_two_domains_that_name_each_other_bounce_once(local: Local) -> None:
    await local.domain("example.org", unknown="x@far.example.org")
    await local.domain("far.example.org", unknown="y@example.org")
    await local.put("whoever@example.org")
    [left] = [held.record for held in await local.work()]
    assert (left.state, left.recipients[0].status) == (State.BOUNCE, "5.4.6")


async def test_an_extension_at_an_alias_domain_stays_in_delivered_to(local: Local) -> None:
    await local.deliver("Joe+Lists@other.example")
    [path] = local.mails(JOE)
    head = f"Return-Path: <{SENDER}>\nDelivered-To: Joe+Lists@example.org\n".encode()
    assert path.read_bytes().startswith(head + BODY[:8])
    await local.control.set("extensions", ("none",))
    [outcome] = await local.deliver("joe+lists@other.example")
    assert isinstance(outcome, Failed)


async def test_a_bounce_that_loops_ends(local: Local) -> None:
    await local.alias("a@example.org", "b@example.org")
    await local.alias("b@example.org", "a@other.example", owner=ANN)
    await local.put("a@example.org", sender="")
    [left] = await local.work()
    assert (left.record.state, left.record.sender) == (State.BOUNCE, ""), "a double bounce is next"


@pytest.mark.parametrize(
    "written",
    ["team@example.org", "TEAM@Example.ORG", "team@other.example", "example.org-team@example.org",
     "Other.Example-team@other.example"],
)  # fmt: skip
async def test_delivered_to_in_any_of_its_forms_is_a_loop(local: Local, written: str) -> None:
    await local.alias(TEAM, BOB)
    body = b"Delivered-To: " + written.encode() + b"\r\n" + BODY
    [outcome] = await local.deliver("team@other.example", body=body)
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.4.6"
    assert await local.queued() == []


async def test_after_so_many_hops_nothing_is_sent_on(local: Local) -> None:
    await local.alias(TEAM, BOB)
    body = b"Received: x\r\n" * (MAX_HOPS - 1) + BODY
    team, joe = await local.deliver(TEAM, JOE, body=body)
    assert isinstance(team, Failed)
    assert (team.status, joe) == ("5.4.6", Delivered(text="did_1+0+0/"))
    assert await local.queued() == []


# --- SRS


SECRETS = ("a secret of ours, long", "the one before that one")


async def srs(local: Local, domain: str = "other.example") -> None:
    await local.control.set("srsdomain", (domain,))
    await local.control.set("srssecret", SECRETS)


async def test_what_passes_through_has_a_sender_of_ours(local: Local) -> None:
    await srs(local)
    await local.alias(TEAM, BOB, JOE)
    await local.deliver(TEAM)
    sender = (await only(local)).record.sender
    assert sender.startswith("SRS0=")
    assert sender.endswith("=far.example=ann@other.example")


@pytest.mark.parametrize(
    ("sender", "to"),
    [("", BOB), ("#@[]", BOB), (ANN, BOB), ("ann@other.example", BOB), (SENDER, JOE),
     (f"{'x' * 60}@far.example", BOB)],
)  # fmt: skip
async def test_other_senders_stay(local: Local, sender: str, to: str) -> None:
    await srs(local)
    await local.alias(TEAM, to)
    await local.deliver(TEAM, sender=sender)
    assert (await only(local)).record.sender == sender


async def test_a_domain_that_is_not_ours_is_none_for_srs(local: Local) -> None:
    await srs(local, "elsewhere.example")
    await local.alias(TEAM, BOB)
    await local.deliver(TEAM)
    assert (await only(local)).record.sender == SENDER


async def test_a_secret_that_cannot_be_read_defers(local: Local) -> None:
    """Stored by a newer release: what it is for must not be left out."""
    await local.alias(TEAM, BOB)
    bucket = local.control._bucket
    await local.control.mirror.seen(await bucket.put("srssecret", {"lines": ["short"]}))
    [outcome] = await local.deliver(TEAM)
    assert isinstance(outcome, Deferred)
    assert outcome.status == "4.3.5"


async def test_the_bounce_of_what_was_rewritten_finds_its_way_back(local: Local) -> None:
    await srs(local)
    await local.alias(TEAM, BOB)
    await local.deliver(TEAM)
    sent = await only(local)
    await local.queue.forget(sent)
    assert isinstance((await local.deliver(sent.record.sender, sender=""))[0], Delivered)
    record = (await only(local)).record
    assert (record.waiting, record.sender) == ((SENDER,), "")
