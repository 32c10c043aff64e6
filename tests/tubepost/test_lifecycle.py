"""The state table and the functions that walk it."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import retry
from tubepost.lifecycle import (
    TRANSITIONS,
    after_attempt,
    after_bounce,
    after_warning,
    given_up,
    held,
    parked,
    rejuvenated,
    released,
    split,
)
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import MAX_REPLY, UNIT_RECIPIENTS, Fate, Note, Recipient, Record, State
from tubepost.retry import Rules
from tubepost.routing import Route

NOW = 1_700_000_000.0
WEEK = 604_800.0
A, B, C = "a@x.y", "b@x.y", "c@x.y"
OUTCOMES = st.sampled_from(
    [
        Delivered(text="ok"),
        Delivered(text="ok", reports=True),
        Deferred(text="busy", status="4.2.1"),
        Failed(text="no such user", status="5.1.1"),
        None,
    ]
)


def mail(*addresses: str, channel: str = "remote") -> Record:
    return Record(
        state=State.PENDING,
        channel=channel,
        destination="x.y",
        sender="s@x.y",
        recipients=tuple(Recipient(a) for a in addresses),
        size=1,
        created=NOW,
        next_attempt=NOW,
    )


def tried(
    record: Record, outcomes: Mapping[str, Outcome], age: float = 1.0, lifetime: float = WEEK
) -> Record:
    now = NOW + age
    return after_attempt(record, outcomes, began=now, now=now, rules=Rules(lifetime))


def fates(record: Record) -> str:
    return "".join(r.fate for r in record.recipients)


@pytest.mark.parametrize(
    ("outcomes", "state", "after"),
    [
        ({A: Delivered(text="ok")}, State.DONE, "d"),
        ({A: Deferred(text="busy")}, State.PENDING, "w"),
        ({A: Failed(text="no")}, State.BOUNCE, "f"),
        ({}, State.PENDING, "w"),
        ({"somebody@else": Failed(text="no")}, State.PENDING, "w"),
    ],
)
def test_one_recipient(outcomes: dict[str, Outcome], state: State, after: str) -> None:
    new = tried(mail(A), outcomes)
    assert (new.state, fates(new), new.attempts) == (state, after, 1)


@pytest.mark.parametrize(
    ("b", "c", "state", "after"),
    [
        (Delivered(text="ok"), Delivered(text="ok"), State.DONE, "ddd"),
        (Delivered(text="ok"), Deferred(text="later"), State.PENDING, "ddw"),
        (Failed(text="no"), Deferred(text="later"), State.BOUNCE, "dfw"),
        (Failed(text="no"), Failed(text="no"), State.BOUNCE, "dff"),
    ],
)
def test_several_recipients(b: Outcome, c: Outcome, state: State, after: str) -> None:
    new = tried(mail(A, B, C), {A: Delivered(text="ok"), B: b, C: c})
    assert (new.state, fates(new)) == (state, after)


def test_what_was_said_is_kept_with_the_recipient() -> None:
    new = tried(mail(A, B), {A: Deferred(text="try\nlater", status="4.2.1"), B: Failed(text="no")})
    assert new.recipients[0] == Recipient(A, Fate.WAITING, "try/later", "4.2.1")
    assert new.recipients[1] == Recipient(B, Fate.FAILED, "no", "5.0.0")


def test_the_kind_of_trouble_is_kept_while_there_is_trouble() -> None:
    later, no = Deferred(text="x", kind="greylisted"), Failed(text="x", kind="spam")
    first = tried(mail(A, B), {A: later, B: no})
    assert [r.kind for r in first.recipients] == ["greylisted", "spam"]
    second = tried(first, {A: Delivered(text="ok")}, age=400)
    assert [r.kind for r in second.recipients] == ["", "spam"]
    assert tried(mail(A), {A: later}, age=WEEK + 1).recipients[0].kind == "greylisted"


def test_a_delivered_recipient_is_not_touched_again() -> None:
    first = tried(mail(A, B), {A: Delivered(text="ok"), B: Deferred(text="later")})
    second = tried(first, {A: Failed(text="no"), B: Delivered(text="ok")}, age=400)
    assert (fates(second), second.state, second.attempts) == ("dd", State.DONE, 2)
    assert second.recipients[0].reply == "ok"


def test_the_next_attempt_is_counted_from_the_end_of_this_one() -> None:
    new = after_attempt(
        mail(A), {A: Deferred(text="x")}, began=NOW + 400, now=NOW + 900, rules=Rules(WEEK)
    )
    assert new.next_attempt == NOW + 2500


def test_the_last_attempt_makes_a_deferral_final() -> None:
    new = tried(mail(A), {A: Deferred(text="busy", status="4.2.1")}, age=WEEK + 1)
    assert (new.state, fates(new)) == (State.BOUNCE, "f")
    assert new.recipients[0].reply == "busy/" + retry.EXPIRED
    assert new.recipients[0].status == "4.2.1"


def test_an_attempt_that_began_in_time_is_not_the_last() -> None:
    new = after_attempt(
        mail(A), {A: Deferred(text="x")}, began=NOW + WEEK, now=NOW + WEEK + 60, rules=Rules(WEEK)
    )
    assert fates(new) == "w"


@pytest.mark.parametrize(
    ("outcome", "unreachable", "opens", "throttled"),
    [
        (Deferred(text="busy"), False, 0.0, False),
        (Deferred(text="busy", kind="rate_limited"), False, 0.0, True),
        (Deferred(text="busy", kind="greylisted"), False, 0.0, False),
        (Deferred(text="refused", no_connection=True), True, 0.0, False),
        (Deferred(text="skipped", no_connection=True, not_before=NOW + 9), True, NOW + 9, False),
        (Delivered(text="ok"), False, 0.0, False),
    ],
)
def test_the_record_tells_what_the_last_attempt_met(
    outcome: Outcome, unreachable: bool, opens: float, throttled: bool
) -> None:
    before = replace(mail("a", "b"), unreachable=True, opens=NOW, throttled=True)
    after = tried(before, {"a": outcome, "b": Deferred(text="later")})
    assert (after.unreachable, after.opens, after.throttled) == (unreachable, opens, throttled)


def test_the_record_tells_that_no_host_was_asked_until_one_is() -> None:
    after = tried(mail("a"), {"a": Deferred(text="no name server answers", unasked=True)})
    assert after.unasked
    assert not tried(after, {"a": Deferred(text="busy")}).unasked


def test_a_long_reply_leaves_room_for_the_last_word() -> None:
    new = tried(mail(A), {A: Deferred(text="x" * 1000)}, age=WEEK + 1)
    reply = new.recipients[0].reply
    assert len(reply) <= MAX_REPLY
    assert reply.endswith(retry.EXPIRED)


def test_no_outcome_at_the_end_of_the_lifetime_bounces_nothing() -> None:
    """Nothing is known: that is no reason to give up (promise 3)."""
    new = tried(mail(A), {}, age=WEEK + 1)
    assert (new.state, fates(new)) == (State.PENDING, "w")


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ("f", "b", State.DONE),
        ("fd", "bd", State.DONE),
        ("fw", "bw", State.PENDING),
        ("u", "d", State.DONE),
        ("uf", "db", State.DONE),
        ("uw", "dw", State.PENDING),
    ],
)
def test_after_the_reports(before: str, after: str, state: State) -> None:
    record = owing(before)
    new = after_bounce(record, {r.address for r in record.recipients})
    assert (fates(new), new.state, new.attempts) == (after, state, 0)


def owing(fates: str) -> Record:
    recipients = tuple(Recipient(f"{n}@x.y", Fate(f)) for n, f in enumerate(fates))
    return replace(mail(), state=State.BOUNCE, recipients=recipients)


def test_a_report_settles_only_those_it_was_about() -> None:
    """Another owner was faster, and since then somebody else failed."""
    record = owing("bf")
    assert after_bounce(record, {"0@x.y"}) == record


@pytest.mark.parametrize("state", [State.PENDING, State.HELD, State.PARKED, State.DONE])
def test_a_report_made_too_late_changes_nothing(state: State) -> None:
    record = replace(owing("fw"), state=state)
    assert after_bounce(record, {"0@x.y", "1@x.y"}) is record


@pytest.mark.parametrize(
    ("sender", "notify", "reports", "fate", "state"),
    [
        ("s@x.y", "SUCCESS", False, Fate.UNCONFIRMED, State.BOUNCE),
        ("s@x.y", "FAILURE,SUCCESS", False, Fate.UNCONFIRMED, State.BOUNCE),
        ("s@x.y", "SUCCESS", True, Fate.DELIVERED, State.DONE),
        ("s@x.y", "", False, Fate.DELIVERED, State.DONE),
        ("s@x.y", "NEVER", False, Fate.DELIVERED, State.DONE),
        ("s@x.y", "FAILURE,DELAY", False, Fate.DELIVERED, State.DONE),
        ("", "SUCCESS", False, Fate.DELIVERED, State.DONE),
        ("#@[]", "SUCCESS", False, Fate.DELIVERED, State.DONE),
    ],
)
def test_success_is_told_where_it_was_asked_for_and_nobody_else_tells(
    sender: str, notify: str, reports: bool, fate: Fate, state: State
) -> None:
    record = replace(mail(), sender=sender, recipients=(Recipient(A, notify=notify),))
    new = tried(record, {A: Delivered(text="ok", reports=reports)})
    assert (new.recipients[0].fate, new.state) == (fate, state)


def test_a_warning_is_noted_once_and_only_while_the_mail_waits() -> None:
    record = mail(A)
    assert after_warning(record) == replace(record, warned=True)
    held_ = replace(record, state=State.HELD)
    assert after_warning(held_) is held_


def test_parking_tells_why_and_touches_nobody_who_is_done() -> None:
    record = tried(mail(A, B), {A: Delivered(text="ok"), B: Deferred(text="later")})
    new = parked(record, "no body\nhere")
    assert (new.state, fates(new), new.attempts) == (State.PARKED, "dw", 1)
    assert [r.reply for r in new.recipients] == ["ok", "no body/here"]
    assert new.state in TRANSITIONS[record.state]


ROUNDS = st.lists(st.dictionaries(st.sampled_from([A, B, C]), OUTCOMES), min_size=1, max_size=50)


NOTIFIES = st.sampled_from(["", "NEVER", "SUCCESS", "FAILURE,DELAY", "SUCCESS,FAILURE"])


@given(
    ROUNDS,
    st.sampled_from([0.0, 10_000.0, WEEK]),
    st.sampled_from(["local", "remote"]),
    st.tuples(NOTIFIES, NOTIFIES, NOTIFIES),
)
def test_whatever_happens_each_recipient_ends_once(
    rounds: list[dict[str, Outcome | None]],
    lifetime: float,
    channel: str,
    notify: tuple[str, str, str],
) -> None:
    """Every step is in the table; who is delivered or bounced stays so; nobody is both."""
    asking = (Recipient(a, notify=n) for a, n in zip((A, B, C), notify, strict=True))
    record = replace(mail(channel=channel), recipients=tuple(asking))
    ended: dict[str, Fate] = {}
    for outcomes in rounds:
        if record.state is State.DONE:
            break
        if record.state is State.BOUNCE:
            new = after_bounce(record, {A, B, C})
        else:
            said = {a: o for a, o in outcomes.items() if o}
            now = record.next_attempt
            new = after_attempt(record, said, began=now, now=now, rules=Rules(lifetime))
            assert new.next_attempt > record.next_attempt
        assert new.state in TRANSITIONS[record.state]
        assert [r.address for r in new.recipients] == [A, B, C]
        for recipient in new.recipients:
            assert ended.get(recipient.address, recipient.fate) is recipient.fate
            if recipient.fate in (Fate.DELIVERED, Fate.BOUNCED):
                ended[recipient.address] = recipient.fate
        record = new
    open_fates = {r.fate for r in record.recipients} - {Fate.DELIVERED, Fate.BOUNCED}
    assert (record.state is State.DONE) == (not open_fates)
    owed = {Fate.FAILED, Fate.UNCONFIRMED}
    assert (record.state is State.BOUNCE) == bool(owed & open_fates)


def test_a_mail_that_is_always_deferred_bounces_in_the_end() -> None:
    record = mail(A)
    while record.state is State.PENDING:
        now = record.next_attempt
        record = after_attempt(
            record, {A: Deferred(text="busy")}, began=now, now=now, rules=Rules(WEEK)
        )
    assert (record.state, record.attempts) == (State.BOUNCE, 40)


def test_the_table_reaches_every_state_and_leaves_every_state() -> None:
    assert set(TRANSITIONS) == {None, *State}
    reached = set().union(*(TRANSITIONS[state] for state in (None, *State)))
    assert reached == {None, *State}
    assert all(TRANSITIONS[state] for state in State)


# --- split

LOCAL, REMOTE = Route("local", "x.y"), Route("remote", "z.org")
SPLIT = replace(mail(), state=State.SPLIT, channel="", destination="", chunks=2, count=3)


def test_split_makes_a_unit_for_each_route() -> None:
    units = split(
        SPLIT, 1, [(Recipient(A), LOCAL), (Recipient("r@z.org"), REMOTE), (Recipient(B), LOCAL)]
    )
    assert [(u.channel, u.destination, u.waiting) for u in units] == [
        ("local", "x.y", (A, B)),
        ("remote", "z.org", ("r@z.org",)),
    ]
    for unit in units:
        assert (unit.state, unit.group, unit.count, unit.chunks) == (State.PENDING, 1, 0, 2)
        assert (unit.sender, unit.created, unit.size) == (SPLIT.sender, NOW, 1)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from([LOCAL, REMOTE])), max_size=300))
def test_split_loses_nobody_and_is_always_the_same(rows: list[tuple[int, Route]]) -> None:
    routes = [(Recipient(f"u{n}@{route.destination}"), route) for n, route in rows]
    units = split(SPLIT, 0, routes)
    assert units == split(SPLIT, 0, iter(routes))
    assert sorted(a for u in units for a in u.waiting) == sorted(r.address for r, _ in routes)
    assert all(1 <= len(u.recipients) <= UNIT_RECIPIENTS for u in units)
    assert len(units) <= len(rows)


def test_a_verp_sender_makes_a_unit_for_each_recipient() -> None:
    record = replace(SPLIT, sender="list-@host.example-@[]")
    rows = [(Recipient(f"u{n}@x.y"), LOCAL) for n in range(3)]
    units = split(record, 0, rows)
    assert [u.waiting for u in units] == [("u0@x.y",), ("u1@x.y",), ("u2@x.y",)]
    assert {u.sender for u in units} == {"list-@host.example-@[]"}


# --- what an operator does, beside a worker

NOTE = Note("joe", "why", NOW + 5)


def test_a_mail_held_during_an_attempt_stays_held() -> None:
    new = tried(held(mail(A, B), NOTE), {A: Delivered(text="ok"), B: Deferred(text="later")})
    assert (new.state, fates(new), new.attempts, new.note) == (State.HELD, "dw", 1, NOTE)


@pytest.mark.parametrize(
    ("outcome", "state"), [(Delivered(text="ok"), State.DONE), (Failed(text="no"), State.BOUNCE)]
)
def test_but_what_is_over_is_over(outcome: Outcome, state: State) -> None:
    assert tried(held(mail(A), NOTE), {A: outcome}).state is state


def test_an_attempt_says_nothing_of_whoever_was_given_up_meanwhile() -> None:
    given = given_up(mail(A), NOTE, "by hand")
    assert given.state is State.BOUNCE
    assert tried(given, {A: Deferred(text="later")}) is given


@given(
    st.sampled_from([held, released, rejuvenated, lambda r, n: given_up(r, n, "by hand")]),
    st.sampled_from(State),
    st.lists(OUTCOMES, min_size=3, max_size=3),
)
def test_whatever_an_operator_does_the_table_has_it(
    act: Callable[[Record, Note], Record], state: State, outcomes: list[Outcome | None]
) -> None:
    said = {a: o for a, o in zip((A, B, C), outcomes, strict=True) if o}
    before = tried(mail(A, B, C), said)
    if state in (State.HELD, State.PARKED):
        if before.state is not State.PENDING:
            return
        before = replace(before, state=state)
    after = act(before, NOTE)
    assert after is before or after.state in TRANSITIONS[before.state]


def test_what_is_done_for_a_recipient_is_never_forgotten_while_it_waits() -> None:
    once = tried(mail(A, B), {A: Deferred(text="busy", done=("store",)), B: Deferred(text="busy")})
    assert [r.done for r in once.recipients] == [("store",), ()]
    twice = tried(once, {A: Deferred(text="the directory is away"), B: Deferred(text="busy")})
    assert [r.done for r in twice.recipients] == [("store",), ()]
    more = tried(twice, {A: Deferred(text="busy", done=("store", "forward"))})
    assert [r.done for r in more.recipients] == [("store", "forward"), ()]
    again = rejuvenated(released(held(more, NOTE), NOTE), NOTE)
    assert [r.done for r in again.recipients] == [("store", "forward"), ()]


@pytest.mark.parametrize("outcome", [Delivered(text="ok"), Failed(text="no")])
def test_whoever_is_settled_needs_no_list_of_what_is_done(outcome: Outcome) -> None:
    waits = tried(mail(A), {A: Deferred(text="busy", done=("store",))})
    assert tried(waits, {A: outcome}).recipients[0].done == ()
