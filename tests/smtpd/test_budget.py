"""The memory of all mails being read: counted as they grow, given back however they end."""

from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.budget import COPIES, FREE, Budget
from services.smtpd.data import END, DataReader

MAIL = 100_000


def test_a_mail_is_counted_as_often_as_it_is_in_memory() -> None:
    budget = Budget(1_000_000)
    share = budget.share()
    assert share.hold(MAIL)
    assert budget.used == COPIES * MAIL
    assert share.hold(2 * MAIL)
    assert budget.used == COPIES * 2 * MAIL
    share.release()
    share.release()
    assert budget.used == 0


def test_a_small_mail_is_not_counted_and_always_fits() -> None:
    budget = Budget(1)
    assert budget.share().hold(FREE)
    assert budget.used == 0
    assert not budget.share().hold(FREE + 1)


def test_who_does_not_fit_gives_its_room_to_the_others() -> None:
    budget = Budget(COPIES * 3 * MAIL)
    one, two = budget.share(), budget.share()
    assert one.hold(2 * MAIL)
    assert two.hold(MAIL)
    assert not two.hold(2 * MAIL)
    assert budget.used == COPIES * 2 * MAIL
    assert one.hold(3 * MAIL)


def test_no_limit_counts_all_the_same() -> None:
    budget = Budget()
    assert budget.share().hold(10**12)
    assert budget.used == COPIES * 10**12


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4 * FREE)), max_size=30))
def test_never_more_than_the_limit(steps: list[tuple[int, int]]) -> None:
    budget = Budget(10 * FREE)
    shares = [budget.share() for _ in range(4)]
    for which, size in steps:
        shares[which].hold(size)
        assert budget.used == sum(share.octets for share in shares) <= budget.limit
    for share in shares:
        share.release()
    assert budget.used == 0


def test_a_mail_without_room_is_read_to_its_end_and_not_kept() -> None:
    budget = Budget(COPIES * MAIL)
    data = DataReader(0, budget.share())
    for _ in range(40):
        assert data.feed(b"y" * FREE) is None
        assert budget.used <= budget.limit
    assert data.no_room
    assert not data.too_big
    assert budget.used == 0
    assert data.feed(b"\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"
    assert len(data.body()) <= len(END)
