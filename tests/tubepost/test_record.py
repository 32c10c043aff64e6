"""The wire form of a record: nothing is lost, newer keys are ignored, garbage is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import dsn, record
from tubepost.errors import BadInput
from tubepost.record import (
    MAX_REPLY,
    UNIT_RECIPIENTS,
    Fate,
    Note,
    Priority,
    Recipient,
    Record,
    State,
    UnreadableRecord,
    decode,
    encode,
)

TEXT = st.text(max_size=30)
REPLIES = st.text(min_size=1, max_size=MAX_REPLY)
TIMES = st.floats(0, 1e11)
SETTLED = st.sampled_from([Fate.DELIVERED, Fate.FAILED, Fate.BOUNCED])
DONE = st.lists(st.sampled_from(["store", "forward", "post"]), unique=True).map(tuple)
RECIPIENTS = st.one_of(
    st.builds(Recipient, TEXT),
    st.builds(Recipient, TEXT, st.sampled_from(Fate), REPLIES, TEXT),
    st.builds(Recipient, TEXT, SETTLED, st.just(""), TEXT),
    st.builds(Recipient, TEXT, st.sampled_from(Fate), REPLIES, TEXT, TEXT, TEXT),
    st.builds(Recipient, TEXT, st.sampled_from(Fate), REPLIES, TEXT, TEXT, TEXT, TEXT),
    st.builds(Recipient, TEXT, kind=TEXT),
    st.builds(Recipient, TEXT, st.sampled_from(Fate), REPLIES, TEXT, kind=TEXT, done=DONE),
)
RECORDS = st.builds(
    Record,
    state=st.sampled_from(State),
    channel=TEXT,
    destination=TEXT,
    sender=TEXT,
    recipients=st.lists(RECIPIENTS, max_size=5).map(tuple),
    size=st.integers(0, 2**60),
    chunks=st.integers(0, 1000),
    created=TIMES,
    attempts=st.integers(0, 1000),
    next_attempt=TIMES,
    group=st.none() | st.integers(0, 64),
    count=st.integers(0, 10_000),
    priority=st.sampled_from(Priority),
    born=st.none() | TIMES.filter(bool),
    unreachable=st.booleans(),
    opens=TIMES,
    throttled=st.booleans(),
    unasked=st.booleans(),
    warned=st.booleans(),
    ret=st.sampled_from(["", "FULL", "HDRS"]),
    envid=TEXT,
    note=st.none() | st.builds(Note, TEXT, TEXT, TIMES),
    smtputf8=st.booleans(),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
PLAIN = Record(state=State.PENDING, sender="a@b.c", size=1, created=1.5, next_attempt=2.5)


@given(RECORDS)
def test_what_is_encoded_is_decoded_to_the_same(plain: Record) -> None:
    header = encode(plain)
    assert header.isascii()
    assert "\n" not in header
    assert "\r" not in header
    assert decode(header) == plain


@given(RECORDS, JSON)
def test_unknown_keys_are_ignored(plain: Record, value: object) -> None:
    wire = json.loads(encode(plain))
    wire["future"] = value
    assert decode(json.dumps(wire)) == plain


@given(st.sampled_from(list(json.loads(encode(PLAIN)))), JSON)
def test_a_key_with_any_value_is_a_record_or_unreadable(key: str, value: object) -> None:
    wire = json.loads(encode(PLAIN)) | {key: value}
    try:
        decode(json.dumps(wire))
    except UnreadableRecord:
        return


@given(st.text(max_size=50) | JSON.map(json.dumps))
def test_garbage_is_unreadable(header: str) -> None:
    with pytest.raises(UnreadableRecord):
        decode(header)


@pytest.mark.parametrize("key", ["st", "ch", "d", "s", "r", "sz", "c", "n"])
def test_a_missing_key_is_unreadable(key: str) -> None:
    wire = json.loads(encode(PLAIN))
    del wire[key]
    with pytest.raises(UnreadableRecord):
        decode(json.dumps(wire))


@pytest.mark.parametrize(
    "change",
    [
        {"st": "unheard of"},
        {"r": [["a", "w", "x"]]},
        {"r": [["a", "?", "x", "y"]]},
        {"r": [7]},
        {"sz": "many"},
        {"c": None},
    ],
)
def test_a_wrong_value_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecord):
        decode(json.dumps(json.loads(encode(PLAIN)) | change))


def test_no_header_is_unreadable() -> None:
    with pytest.raises(UnreadableRecord):
        decode(None)


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 400])
def test_a_number_beyond_all_bounds_is_unreadable(number: str) -> None:
    with pytest.raises(UnreadableRecord):
        decode(
            encode(PLAIN).replace('"sz":1', f'"sz":{number}').replace('"c":1.5', f'"c":{number}')
        )


def test_a_waiting_recipient_without_a_reply_is_just_an_address() -> None:
    wire = json.loads(encode(Record(**_with(recipients=(Recipient("joe@x.y"),)))))
    assert wire["r"] == ["joe@x.y"]


def _with(**more: Any) -> dict[str, Any]:
    return {
        "state": State.PENDING,
        "sender": "",
        "size": 1,
        "created": 1.0,
        "next_attempt": 1.0,
    } | more


def test_a_reply_is_cut() -> None:
    long = Record(**_with(recipients=(Recipient("joe@x.y", Fate.FAILED, "x" * 500, "5.0.0"),)))
    assert decode(encode(long)).recipients[0].reply == "x" * MAX_REPLY


def test_the_largest_unit_fits_a_header() -> None:
    """The server's limit for headers is 64 KiB."""
    worst = Recipient("x" * 254, Fate.FAILED, '"' * MAX_REPLY, "5.999.999")
    header = encode(Record(**_with(recipients=(worst,) * UNIT_RECIPIENTS)))
    assert len(record.HEADER) + len(header) < 63_000


def test_the_largest_unit_in_other_letters_fits_too() -> None:
    worst = Recipient(
        "é" * 32 + "@" + "x" * 189,
        Fate.FAILED,
        '"' * MAX_REPLY,
        "5.999.999",
        "SUCCESS,FAILURE,DELAY",
        "utf-8;" + r"\x{EB}" * 49,
        done=("store", "forward"),
    )
    assert dsn.parse_orcpt(worst.orcpt)
    with pytest.raises(BadInput):
        dsn.parse_orcpt(worst.orcpt + r"\x{EB}")
    header = encode(Record(**_with(recipients=(worst,) * UNIT_RECIPIENTS, smtputf8=True)))
    assert len(record.HEADER) + len(header) < 63_000


def test_waiting_are_those_whose_fate_is_open() -> None:
    recipients = tuple(Recipient(f"{fate}@x.y", fate) for fate in Fate)
    assert Record(**_with(recipients=recipients)).waiting == ("w@x.y",)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("chunks", [0, 1])
def test_inline_is_a_record_whose_payload_is_the_body(state: State, chunks: int) -> None:
    inline = Record(**_with(state=state, chunks=chunks)).inline
    assert inline == (chunks == 0 and state not in (State.SPLIT, State.GROUP))


@pytest.mark.parametrize("kinds", [["spam"], "spam", {"a": 1}, None, ["a", "b", "c"]])
def test_kinds_that_fit_no_recipients_are_left_out(kinds: object) -> None:
    """As an older release leaves them behind; it does not know that they are to be kept in step."""
    two = Record(**_with(recipients=(Recipient("a@x.y", kind="spam"), Recipient("b@x.y"))))
    wire = json.loads(encode(two))
    assert wire["t"] == ["spam", ""]
    assert wire["r"] == ["a@x.y", "b@x.y"], "what an older release reads"
    found = decode(json.dumps(wire | {"t": kinds}))
    assert [(r.address, r.kind) for r in found.recipients] == [("a@x.y", ""), ("b@x.y", "")]


@pytest.mark.parametrize("done", ["store", {"a": 1}, None, ["store"], ["store", "", ""]])
def test_what_is_done_is_left_out_where_it_fits_no_recipients(done: object) -> None:
    """Beside the recipients, where a release that does not know it finds what it knows."""
    two = Record(**_with(recipients=(Recipient("a@x.y", done=("store",)), Recipient("b@x.y"))))
    wire = json.loads(encode(two))
    assert wire["f"] == ["store", ""]
    assert wire["r"] == ["a@x.y", "b@x.y"], "what an older release reads"
    assert [r.done for r in decode(encode(two)).recipients] == [("store",), ()]
    assert [r.done for r in decode(json.dumps(wire | {"f": done})).recipients] == [(), ()]


def test_nearly_no_record_says_what_is_done() -> None:
    wire = json.loads(encode(Record(**_with(recipients=(Recipient("a@x.y"),)))))
    assert "f" not in wire
