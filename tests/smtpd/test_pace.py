"""How long a client may go on: errors, tarpit, deadlines. Pure, with times as arguments."""

import pytest

from services.smtpd.pace import GRACE, Tally, data_deadline


@pytest.mark.parametrize(
    ("errors", "recipients", "ends"),
    [(19, 0, False), (20, 0, True), (20, 1, False), (120, 100, True), (0, 0, False)],
)
def test_so_many_errors_end_a_session(errors: int, recipients: int, ends: bool) -> None:
    assert Tally(errors, recipients).exhausted(20) == ends


def test_no_limit_of_errors() -> None:
    assert not Tally(errors=10**6).exhausted(0)


@pytest.mark.parametrize(
    ("tally", "seconds"),
    [
        (Tally(errors=3), 0),
        (Tally(errors=4), 7),
        (Tally(recipients=3), 0),
        (Tally(recipients=4), 7),
        (Tally(errors=2, recipients=2), 0),
    ],
)
def test_the_reply_after_the_count_waits(tally: Tally, seconds: int) -> None:
    assert tally.delay(3, 7) == seconds
    assert tally.delay(0, 7) == 0


def held_for(octets_each_minute: int, rate: int) -> float:
    """Seconds until a client that drips is cut off; at most a day."""
    now, octets = 0.0, 0
    deadline = data_deadline(now, began=0, octets=0, idle=300, rate=rate)
    while now + 60 < deadline and now < 86_400:
        now, octets = now + 60, octets + octets_each_minute
        deadline = data_deadline(now, began=0, octets=octets, idle=300, rate=rate)
    return min(deadline, now)


def test_who_drips_is_cut_off_after_the_grace() -> None:
    assert held_for(1, 100) <= GRACE + 1


def test_a_slow_line_is_fast_enough() -> None:
    assert held_for(100 * 60, 100) >= 86_400


def test_any_rate() -> None:
    assert held_for(1, 0) >= 86_400


def test_silence_has_its_own_end() -> None:
    assert data_deadline(1000.0, began=990.0, octets=10**6, idle=300, rate=100) == 1300.0
    assert data_deadline(1000.0, began=10.0, octets=0, idle=5000, rate=100) == 10 + GRACE
