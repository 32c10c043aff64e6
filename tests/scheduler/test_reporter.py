"""Reports on their way into the queue, on the real bus: who is told what, and how often."""

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from tests.fakes import FakeClock
from tests.scheduler.queue_rig import BODY, FAILED, Queue
from tubepost import control_values, lifecycle, maillog
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.record import INLINE_LIMIT, Held, Priority, Record, State
from tubepost.retry import Rules
from tubepost.subjects import Key

DONE = Delivered(text="ok")


@pytest.fixture
def queue(bus: NatsBus, clock: FakeClock) -> Queue:
    return Queue(bus, clock)


async def test_a_failure_bounces_to_the_sender_and_ends_the_mail(queue: Queue) -> None:
    key = await queue.accept("ann@far.example")
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    [made] = await queue.all()
    assert made.key.mail_id == "m1b0n0"
    assert (made.record.sender, made.record.waiting) == ("", ("joe@example.org",))
    assert made.record.priority is Priority.BULK
    assert made.record.channel == "local"
    report = message_from_bytes(await queue.store.body(made), policy=policy.default)
    assert report.get_content_type() == "multipart/report"
    assert report["From"] == "MAILER-DAEMON@mail.example.org"
    assert BODY.decode() in report.as_string().replace("\n", "\r\n").replace("\r\r", "\r")


async def test_a_failure_settled_twice_makes_one_bounce(queue: Queue) -> None:
    key = await queue.accept("ann@far.example")
    await queue.attempt(key, FAILED)
    bounce = await queue.store.read(key)
    assert bounce
    await queue.settler._reporter.tell(bounce)
    await queue.settler._reporter.tell(
        bounce
    )  # a second owner that read it before the first was done
    assert [h.key.mail_id for h in await queue.all()] == ["m1b0n0"]


async def test_the_bounce_of_a_bounce_goes_to_the_postmaster(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", sender="")
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    [made] = await queue.all()
    assert made.record.sender == "#@[]"
    assert made.record.waiting == ("postmaster@mail.example.org",)


async def test_a_double_bounce_that_fails_ends_in_the_log(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", sender="#@[]")
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    assert await queue.all() == []


async def test_recipients_that_still_wait_are_kept_when_another_has_bounced(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", "bob@far.example")
    held = await queue.store.read(key)
    assert held
    now = queue.clock()

    def change(record: Record) -> Record:
        outcomes: dict[str, Outcome] = {"ann@far.example": FAILED}
        return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

    await queue.store.settle(held, change)
    await queue.settler.settle(key)
    original, made = await queue.all()
    assert original.record.state is State.PENDING
    assert original.record.waiting == ("bob@far.example",)
    assert original.record.next_attempt == now + 400
    assert b"bob@far.example" not in await queue.store.body(made)


async def test_a_bounce_for_a_big_mail_removes_its_body(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", body=BODY + b"x" * INLINE_LIMIT + b"\r\n")
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    await queue.settler.settle(key)
    assert [h.key.mail_id for h in await queue.all()] == ["m1b0n0"]
    assert await queue.chunks() == 0


def about(report: EmailMessage) -> list[tuple[str, str]]:
    """Final-Recipient and Action of each block of a report."""
    status = list(report.iter_parts())[1]
    blocks = list(status.iter_parts())[1:]
    return [(b["Final-Recipient"].removeprefix("rfc822; "), b["Action"]) for b in blocks]


def kinds(report: EmailMessage) -> list[str]:
    return [part.get_content_type() for part in report.iter_parts()]


WHOLE = ["text/plain", "message/delivery-status", "message/rfc822"]
HEADER = ["text/plain", "message/delivery-status", "text/rfc822-headers"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of `mail.bounced` that are logged."""
    found: list[str] = []
    real = maillog.bounced

    def bounced(mail_id: str, bounce_id: str, *, kind: str, to: str) -> None:
        found.append(str(kind))
        real(mail_id, bounce_id, kind=kind, to=to)

    monkeypatch.setattr(maillog, "bounced", bounced)
    return found


async def test_a_chain_of_bounces_ends_with_the_third(queue: Queue, told: list[str]) -> None:
    key = await queue.accept("ann@far.example", sender="joe@far.example")
    for _ in range(3):
        await queue.attempt(key, FAILED)
        await queue.settler.settle(key)
        left = await queue.all()
        key = left[0].key if left else key
        if left:
            report = await queue.report(key.mail_id)
            assert report["From"] == "MAILER-DAEMON@mail.example.org"
    assert await queue.all() == []
    assert told == ["single", "double", "triple"]


@pytest.mark.parametrize("notify", ["NEVER", "SUCCESS,DELAY"])
async def test_a_failure_nobody_wants_to_hear_of_ends_in_the_log(
    queue: Queue, told: list[str], notify: str
) -> None:
    key = await queue.accept("ann@far.example", notify=notify)
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    assert await queue.all() == []
    assert told == ["unwanted"]


@pytest.mark.parametrize(
    ("to", "action"), [("ann@example.org", "delivered"), ("ann@far.example", "relayed")]
)
async def test_success_is_told_and_ends_the_mail(
    queue: Queue, told: list[str], to: str, action: str
) -> None:
    key = await queue.accept(to, notify="SUCCESS", ret="FULL", envid="a+2Bb")
    await queue.attempt(key, Delivered(text="ok"))
    await queue.settler.settle(key)
    [made] = await queue.all()
    assert (made.record.sender, made.record.waiting) == ("", ("joe@example.org",))
    report = await queue.report("m1d0n0")
    assert about(report) == [(to, action)]
    assert kinds(report) == HEADER
    of_mail = next(iter(list(report.iter_parts())[1].iter_parts()))
    assert of_mail["Original-Envelope-Id"] == "a+b"
    assert told == [action]


async def test_success_the_next_host_tells_of_is_not_told_by_us(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", notify="SUCCESS")
    await queue.attempt(key, Delivered(text="ok", reports=True))
    assert await queue.all() == []


async def test_success_and_failure_of_one_attempt_are_two_reports(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", "bob@far.example", notify="SUCCESS,FAILURE")
    held = await queue.store.read(key)
    assert held
    outcomes: dict[str, Outcome] = {"ann@far.example": FAILED, "bob@far.example": DONE}
    now = queue.clock()

    def change(record: Record) -> Record:
        return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

    await queue.store.settle(held, change)
    await queue.settler.settle(key)
    assert about(await queue.report("m1b0n0")) == [("ann@far.example", "failed")]
    assert about(await queue.report("m1d0n1")) == [("bob@far.example", "relayed")]
    assert len(await queue.all()) == 2


async def test_a_second_failure_after_the_same_number_of_tries_has_a_bounce_of_its_own(
    queue: Queue,
) -> None:
    """An operator gives up on bob right after ann's bounce: no try lies between the two."""
    key = await queue.accept("ann@far.example", "bob@far.example")
    for failed in ("ann@far.example", "bob@far.example"):
        held = await queue.store.read(key)
        assert held

        def change(record: Record, failed: str = failed) -> Record:
            now = queue.clock()
            new = lifecycle.after_attempt(
                record, {failed: FAILED}, began=now, now=now, rules=Rules()
            )
            return replace(new, attempts=1)

        await queue.store.settle(held, change)
        await queue.settler.settle(key)
    assert [h.key.mail_id for h in await queue.all()] == ["m1b0n0", "m1b0n1"]


async def test_an_owner_that_comes_late_settles_nobody_it_did_not_tell_of(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", "bob@far.example")
    held = await queue.store.read(key)
    assert held
    now = queue.clock()

    async def fails(address: str) -> Held:
        there = await queue.store.read(key)
        assert there
        await queue.store.settle(
            there,
            lambda r: lifecycle.after_attempt(
                r, {address: FAILED}, began=now, now=now, rules=Rules()
            ),
        )
        new = await queue.store.read(key)
        assert new
        return new

    seen_by_the_late_one = await fails("ann@far.example")
    await queue.settler.settle(key)
    await fails("bob@far.example")
    await queue.settler._reporter.tell(seen_by_the_late_one)
    left = await queue.store.read(key)
    assert left
    assert left.record.state is State.BOUNCE, "bob's bounce is owed still"
    await queue.settler.settle(key)
    assert [h.key.mail_id for h in await queue.all()] == ["m1b0n0", "m1b0n1"]


@pytest.mark.parametrize(
    ("ret", "most", "expected"),
    [
        ("", 50_000, WHOLE),
        ("FULL", 50_000, WHOLE),
        ("HDRS", 50_000, HEADER),
        ("", 0, HEADER),
        ("FULL", 22, HEADER),
        ("FULL", 23, WHOLE),
    ],
)
async def test_what_of_the_mail_comes_back(
    queue: Queue, ret: str, most: int, expected: list[str]
) -> None:
    assert len(BODY) == 23
    queue.control_says(control_values.BOUNCEMAXBYTES, most)
    key = await queue.accept("ann@far.example", ret=ret)
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    assert kinds(await queue.report("m1b0n0")) == expected


async def test_a_big_mail_comes_back_whole_where_the_setting_allows_it(queue: Queue) -> None:
    body = BODY + b"x" * INLINE_LIMIT * 4 + b"\r\n"
    queue.control_says(control_values.BOUNCEMAXBYTES, 2_000_000)
    key = await queue.accept("ann@far.example", body=body)
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    [made] = [h for h in await queue.all() if h.key.mail_id == "m1b0n0"]
    assert body in await queue.store.body(made)


@pytest.mark.parametrize("ret", ["", "HDRS"])
async def test_a_lost_body_is_told(queue: Queue, monkeypatch: pytest.MonkeyPatch, ret: str) -> None:
    lost: list[Key] = []
    monkeypatch.setattr(maillog, "body_lost", lambda key, _why: lost.append(key))
    key = await queue.accept("ann@far.example", body=BODY + b"x" * INLINE_LIMIT, ret=ret)
    await queue.attempt(key, FAILED)
    await queue.store.forget_body("m1")
    await queue.settler.settle(key)
    report = await queue.report("m1b0n0")
    assert kinds(report) == ["text/plain", "message/delivery-status"]
    assert "The mail itself is lost" in next(iter(report.iter_parts())).get_content()
    assert lost == [key]


# --- VERP


async def test_a_list_s_mail_is_a_unit_for_each_recipient_and_bounces_to_the_list(
    queue: Queue,
) -> None:
    to = ("ann@far.example", "bob@far.example")
    key = await queue.accept(*to, sender="list-@example.org-@[]")
    await queue.settler.settle(key)
    *units, _ = await queue.all()
    assert [u.record.waiting for u in units] == [(address,) for address in to]
    await queue.attempt(units[0].key, FAILED)
    await queue.settler.settle(units[0].key)
    report = await queue.report("m1b0n0")
    assert report["To"] == "list-@example.org"
    [made] = [h for h in await queue.all() if h.key.mail_id == "m1b0n0"]
    assert made.record.waiting == ("list-@example.org",)


# --- delays


async def late(queue: Queue, **more: str) -> Key:
    """A mail that was deferred at an age of a second, where one second is late."""
    queue.control_says(control_values.DELAYWARNING, 1)
    key = await queue.accept("ann@far.example", "bob@far.example", **more)  # type: ignore[arg-type]
    queue.clock.advance(2)
    await queue.attempt(key, Deferred(text="busy", status="4.2.1"))
    return key


async def test_a_delay_is_told_once(queue: Queue, told: list[str]) -> None:
    key = await late(queue)
    before = await queue.store.read(key)
    assert before
    assert queue.settler.owes_warning(before)
    await queue.settler.settle(key)
    await queue.settler.settle(key)
    original, made = await queue.all()
    assert about(await queue.report("m1w0")) == [
        ("ann@far.example", "delayed"),
        ("bob@far.example", "delayed"),
    ]
    assert made.record.waiting == ("joe@example.org",)
    assert original.record == replace(before.record, warned=True)
    assert not queue.settler.owes_warning(original)
    assert told == ["delayed"]


async def test_a_delay_told_by_two_owners_is_one_mail(queue: Queue) -> None:
    key = await late(queue)
    before = await queue.store.read(key)
    assert before
    await queue.settler._reporter.warn(before)
    await queue.settler._reporter.warn(before)
    assert [h.key.mail_id for h in await queue.all()] == ["m1", "m1w0"]


async def test_a_mail_that_went_on_meanwhile_is_not_held_up_by_its_warning(queue: Queue) -> None:
    key = await late(queue)
    before = await queue.store.read(key)
    assert before
    await queue.attempt(key, DONE)
    await queue.settler._reporter.warn(before)
    assert [h.key.mail_id for h in await queue.all()] == ["m1w0"]


@pytest.mark.parametrize("more", [{"notify": "NEVER"}, {"sender": ""}, {"sender": "#@[]"}])
async def test_a_delay_nobody_wants_to_hear_of(queue: Queue, more: dict[str, str]) -> None:
    key = await late(queue, **more)
    await queue.settler.settle(key)
    assert [h.key.mail_id for h in await queue.all()] == ["m1"]


async def test_without_the_setting_mail_waits_in_silence(queue: Queue) -> None:
    key = await late(queue)
    queue.control_says(control_values.DELAYWARNING, 0)
    await queue.settler.settle(key)
    assert [h.key.mail_id for h in await queue.all()] == ["m1"]


async def test_a_bounce_is_marked_smtputf8_only_where_its_own_recipient_needs_it(
    queue: Queue,
) -> None:
    for mail_id, sender, marked in (("m1", "joe@example.org", False), ("m2", "josé@x.y", True)):
        key = await queue.accept("ann@far.example", mail_id=mail_id, sender=sender)
        await queue.attempt(key, FAILED)
        await queue.settler.settle(key)
        [made] = [h for h in await queue.all() if h.key.mail_id.startswith(mail_id)]
        assert (made.record.waiting, made.record.smtputf8) == ((sender,), marked)
