"""Names on the bus: built and parsed alike, and mail spread over the shards."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import subjects
from tubepost.subjects import Key, key_of, shard_of

TOKENS = st.text("0123456789abcdefS", min_size=1, max_size=30)
KEYS = st.builds(Key, st.integers(0, 63), TOKENS, TOKENS)


@given(KEYS, st.sampled_from(subjects.CHANNELS))
def test_a_key_is_found_in_every_subject_made_from_it(key: Key, channel: str) -> None:
    assert key_of(key.record) == key
    assert key_of(key.job(channel)) == key
    assert key_of(str(key)) == key


@given(KEYS, st.integers(0, 2**63))
def test_a_hint_is_parsed_as_it_was_made(key: Key, seq: int) -> None:
    assert subjects.parse_hint(subjects.hint(key, seq)) == (key, seq)


def test_the_names() -> None:
    key = Key(1, "018b", "u2")
    assert key.record == "q.1.018b.u2"
    assert key.job("local") == "d.local.1.018b.u2"
    assert subjects.queue_stream(1) == "QUEUE_1"
    assert subjects.queue_subjects(1) == "q.1.*.*"
    assert subjects.body_chunk("018b", 3) == "mail.018b.3"
    assert subjects.body("018b") == "mail.018b.*"
    assert subjects.jobs("remote") == "d.remote.>"
    assert subjects.bucket_stream("relay") == "KV_relay"
    assert subjects.bucket_key("relay", "v4.192.0.2.7") == "$KV.relay.v4.192.0.2.7"
    assert subjects.lease(1) == "$KV.leases.sched.1"
    assert subjects.done_hint(1) == "w.done.1"
    assert subjects.inflight(1) == "w.inflight.1"
    assert subjects.view(1, "list") == "ctl.1.list"


@pytest.mark.parametrize("bad", ["q.x.m.0", "m.0", ""])
def test_a_subject_without_a_key_is_an_error(bad: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() and unpacking word it differently
        key_of(bad)


@pytest.mark.parametrize("number", range(8))
def test_remote_mail_to_one_destination_shares_a_shard(number: int) -> None:
    names = (f"host{number}.example", f"HOST{number}.Example")
    assert len({shard_of("remote", name, f"m{n}", 64) for n in range(50) for name in names}) == 1


def test_local_mail_spreads_by_mail_and_remote_mail_by_destination() -> None:
    local = Counter(shard_of("local", "x.y", f"018bcfe5{n:04}", 8) for n in range(800))
    remote = Counter(shard_of("remote", f"host{n}.example", "m", 8) for n in range(800))
    for spread in (local, remote):
        assert set(spread) == set(range(8))
        assert max(spread.values()) < 200


@given(st.sampled_from(subjects.CHANNELS), st.text(), st.text(), st.integers(1, 64))
def test_a_shard_is_always_there(channel: str, destination: str, mail_id: str, shards: int) -> None:
    assert 0 <= shard_of(channel, destination, mail_id, shards) < shards


@given(st.integers(0, 2**63), st.booleans())
def test_a_job_is_parsed_as_it_was_made(seq: int, suspect: bool) -> None:
    assert subjects.parse_job(subjects.job(seq, suspect=suspect)) == (seq, suspect)
