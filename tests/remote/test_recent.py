"""What was tried in the last minutes: counted, bounded, forgotten; and how Prometheus sees it."""

from prometheus_client import REGISTRY

from services.remote import recent
from services.remote.connection import Opened
from services.remote.metering import Metering
from services.remote.recent import MINUTES, OTHER, TOP, Recent
from tubepost.outcome import Deferred, Delivered, Failed

OK, LATER, NO = Delivered(text="ok"), Deferred(text="later"), Failed(text="no")


def test_recipients_are_counted_by_destination_and_outcome() -> None:
    seen = Recent()
    seen.add(0, "a.example", [OK, OK, NO], 1.0)
    seen.add(30, "a.example", [LATER], 3.0)
    seen.add(60, "b.example", [OK], 0.5)
    found = seen.top(60)
    assert list(found) == ["a.example", "b.example", OTHER]
    assert found["a.example"].recipients == {"success": 2, "deferral": 1, "failure": 1}
    assert (found["a.example"].attempts, found["a.example"].seconds) == (2, 4.0)
    assert found[OTHER].attempts == 0


def test_a_minute_is_forgotten_as_a_whole() -> None:
    seen = Recent()
    seen.add(59, "a.example", [OK], 1)
    seen.add(60, "b.example", [OK], 1)
    assert set(seen.top(MINUTES * 60 - 1)) == {"a.example", "b.example", OTHER}
    assert set(seen.top(MINUTES * 60)) == {"b.example", OTHER}
    assert set(seen.top(MINUTES * 60 + 60)) == {OTHER}
    seen.add(10_000, "c.example", [OK], 1)
    assert set(seen.top(10_000)) == {"c.example", OTHER}


def test_only_the_busiest_have_a_name() -> None:
    seen = Recent()
    for number in range(TOP + 5):
        for _ in range(number + 1):
            seen.add(0, f"{number:02}.example", [OK, LATER], 1.0)
    found = seen.top(0)
    assert list(found) == [f"{n:02}.example" for n in range(TOP + 4, 4, -1)] + [OTHER]
    assert found[OTHER].recipients == {"success": 15, "deferral": 15, "failure": 0}
    assert found[OTHER].seconds == 15.0


def test_names_are_bounded_and_nothing_is_lost() -> None:
    seen = Recent()
    for number in range(recent.NAMED + 100):
        seen.add(0, f"{number}.example", [OK], 1)
    assert len(seen._current) == recent.NAMED + 1
    assert sum(tally.recipients["success"] for tally in seen.top(0).values()) == recent.NAMED + 100


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value("tubepost_remote_" + name, labels)


def test_a_destination_that_is_no_longer_tried_has_no_sample() -> None:
    now = 0.0
    metering = Metering(lambda: now)
    metering.tried("gone.example", {"a@gone.example": OK, "b@gone.example": NO}, 1.5)
    metering.measure()
    assert sample("recent_recipients", destination="gone.example", outcome="failure") == 1
    assert sample("recent_seconds", destination="gone.example") == 1.5
    now = 60.0 * MINUTES
    metering.measure()
    assert sample("recent_recipients", destination="gone.example", outcome="failure") is None
    assert sample("recent_seconds", destination="gone.example") is None
    assert sample("recent_recipients", destination="other", outcome="success") == 0


def test_sessions_and_transactions_are_counted() -> None:
    metering = Metering(lambda: 0.0)
    wanted = {
        ("connect_seconds_count", ()): 1,
        ("tls_seconds_sum", ()): 0.25,
        ("tls_seconds_count", ()): 1,
        ("sessions_total", (("tls", "TLSv1.3"),)): 1,
        ("sessions_total", (("tls", "none"),)): 1,
        ("sessions_failed_total", (("phase", "greeting"),)): 1,
        ("transaction_seconds_count", (("session", "new"),)): 1,
        ("transaction_seconds_count", (("session", "reused"),)): 2,
    }
    before = {each: sample(each[0], **dict(each[1])) or 0 for each in wanted}
    metering.connected(0.1)
    metering.greeted(Opened(connected=0.1, handshake=0.25, tls="TLSv1.3"))
    metering.greeted(Opened(connected=0.1))
    metering.failed("greeting")
    for reused in (False, True, True):
        metering.mail(reused, 0.2)
    after = {each: sample(each[0], **dict(each[1])) or 0 for each in wanted}
    assert {each: round(after[each] - before[each], 6) for each in wanted} == wanted
