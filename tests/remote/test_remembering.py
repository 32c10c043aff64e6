"""What an attempt teaches: kinds, and who is not tried again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from services.remote.remembering import RememberingCourier, gone, is_gone, refusal
from services.remote.suppressions import Suppression, Suppressions
from tests.fakes import FakeClock, MemoryBus
from tubepost.control import Control
from tubepost.delivery import Mail
from tubepost.errors import StoreFull, Unavailable
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.ports import Stored
from tubepost.subjects import Key

ANN, BOB = "ann@far.example", "bob@far.example"
WEEK = 604_800
NO_SUCH_USER = Failed(
    text="192.0.2.1 does not like recipient./Remote host said: 550 5.1.1 no such user",
    status="5.1.1",
    peer="192.0.2.1",
    reply="550 5.1.1 no such user",
    phase="rcpt",
)
OK = Delivered(text="ok")


@dataclass
class Host:
    """A Courier that says what it is told to."""

    says: dict[str, Outcome]
    given: list[tuple[str, ...]] = field(default_factory=list)

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        self.given.append(mail.recipients)
        return {address: self.says.get(address, OK) for address in mail.recipients}


@dataclass
class Counted:
    """A Tried that notes what it hears."""

    heard: list[tuple[str, int]] = field(default_factory=list)

    def tried(self, destination: str, outcomes: Mapping[str, Outcome], seconds: float) -> None:
        assert seconds >= 0
        self.heard.append((destination, len(outcomes)))


class AwayBus(MemoryBus):
    """Its bucket cannot be used while `error` is set."""

    error: Exception | None = None

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        if self.error:
            raise self.error
        return await super().read(stream, subject, leader=leader)

    async def append(self, subject: str, data: bytes = b"", **more: object) -> int:
        if self.error:
            raise self.error
        return await super().append(subject, data, **more)  # type: ignore[arg-type]


@pytest.fixture
def away(clock: FakeClock) -> AwayBus:
    return AwayBus(clock)


def remembering(
    host: Host, bus: MemoryBus, clock: FakeClock, **lines: str
) -> tuple[RememberingCourier, Counted]:
    """With these control settings."""
    control, counted = Control(bus, "me.example"), Counted()
    for name, line in lines.items():
        control._on_change(name, {"lines": [line]})
    courier = RememberingCourier(
        courier=host,
        suppressions=Suppressions(bus, clock),
        control=control,
        clock=clock,
        counted=counted,
    )
    return courier, counted


def mail(*recipients: str) -> Mail:
    key = Key(0, "m1", "0")
    return Mail(key, "s@example.org", recipients or (ANN,), "far.example", b"hello\r\n", 1, 0.0)


async def test_a_recipient_refused_for_good_is_not_tried_again(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    host = Host({ANN: NO_SUCH_USER})
    courier, _ = remembering(host, memory_bus, clock, suppress=str(WEEK))
    with capture_logs() as lines:
        first = await courier.deliver(mail(ANN, BOB))
    assert first == {ANN: replace(NO_SUCH_USER, kind="unknown_user"), BOB: OK}
    assert [line["event"] for line in lines] == ["recipient.suppressed"]
    again = await courier.deliver(mail(BOB, "Ann@far.example"))
    assert host.given == [(ANN, BOB), (BOB,)]
    failed = again["Ann@far.example"]
    assert failed == Failed(
        text=(
            "Sorry, this recipient was refused before; that is remembered until "
            "2023-11-21T22:13Z. (#5.1.1)/On 2023-11-14T22:13Z it was said: 550 5.1.1 no such user"
        ),
        status="5.1.1",
        kind="suppressed",
    )
    assert again[BOB] is OK


async def test_with_nobody_left_no_host_is_asked(memory_bus: MemoryBus, clock: FakeClock) -> None:
    host = Host({ANN: NO_SUCH_USER})
    courier, counted = remembering(host, memory_bus, clock, suppress=str(WEEK))
    await courier.deliver(mail())
    assert set(await courier.deliver(mail())) == {ANN}
    assert host.given == [(ANN,)]
    assert counted.heard == [("far.example", 1), ("far.example", 1)]


async def test_after_its_time_it_is_tried_again(memory_bus: MemoryBus, clock: FakeClock) -> None:
    host = Host({ANN: NO_SUCH_USER})
    courier, _ = remembering(host, memory_bus, clock, suppress="60")
    await courier.deliver(mail())
    clock.advance(60)
    host.says = {}
    assert await courier.deliver(mail()) == {ANN: OK}


async def test_without_the_setting_nothing_is_read_or_kept(away: AwayBus, clock: FakeClock) -> None:
    away.error = AssertionError("the bus was asked")
    host = Host({ANN: NO_SUCH_USER})
    courier, _ = remembering(host, away, clock)
    for _ in range(2):
        [outcome] = (await courier.deliver(mail())).values()
        assert isinstance(outcome, Failed)
        assert outcome.kind == "unknown_user"
    assert len(host.given) == 2


@pytest.mark.parametrize("error", [Unavailable("away"), StoreFull("full")])
async def test_where_the_bus_is_away_everybody_is_tried(
    away: AwayBus, clock: FakeClock, error: Exception
) -> None:
    host = Host({ANN: NO_SUCH_USER})
    courier, _ = remembering(host, away, clock, suppress=str(WEEK))
    await courier.deliver(mail())
    away.error = Unavailable("away")
    with capture_logs() as lines:
        assert set(await courier.deliver(mail())) == {ANN}
    away.error = None
    assert host.given == [(ANN,), (ANN,)]
    assert {line["event"] for line in lines} == {"recipient.not_looked_up"}


async def test_a_full_store_keeps_no_outcome_back(away: AwayBus, clock: FakeClock) -> None:
    host = Host({ANN: NO_SUCH_USER})
    courier, _ = remembering(host, away, clock, suppress=str(WEEK))
    await courier.suppressions.of([ANN])  # known not to be there: nothing is read
    away.error = StoreFull("full")
    assert set(await courier.deliver(mail())) == {ANN}


@pytest.mark.parametrize(
    ("gone", "change"),
    [
        (True, {}),
        (True, {"kind": "disabled_user"}),
        (True, {"phase": "final dot"}),
        (False, {"kind": "mailbox_full"}),
        (False, {"kind": "spam"}),
        (False, {"kind": "policy"}),
        (False, {"kind": "suppressed"}),
        (False, {"phase": "mail"}),
        (False, {"phase": "data"}),
        (False, {"reply": ""}),
    ],
)
def test_who_counts_as_gone(gone: bool, change: dict[str, str]) -> None:
    made = replace(NO_SUCH_USER, **{"kind": "unknown_user", **change})  # type: ignore[arg-type]
    assert is_gone(made) is gone


def test_an_answer_to_the_final_dot_names_nobody_where_several_have_it() -> None:
    last = replace(NO_SUCH_USER, phase="final dot", kind="unknown_user")
    first = replace(NO_SUCH_USER, kind="unknown_user")
    other = replace(last, reply="550 5.1.1 nor that one")
    assert gone({ANN: last, BOB: last}) == {}
    assert gone({ANN: last, BOB: first}) == {ANN: last, BOB: first}
    assert gone({ANN: last, BOB: other}) == {ANN: last, BOB: other}  # LMTP
    assert gone({ANN: last, BOB: OK}) == {ANN: last}


async def test_a_deferral_suppresses_nobody(memory_bus: MemoryBus, clock: FakeClock) -> None:
    later = Deferred(
        text="x", status="4.1.1", peer="192.0.2.1", reply="450 4.1.1 User unknown", phase="rcpt"
    )
    host = Host({ANN: later})
    courier, _ = remembering(host, memory_bus, clock, suppress=str(WEEK))
    for _ in range(2):
        assert await courier.deliver(mail()) == {ANN: replace(later, kind="unknown_user")}
    assert len(host.given) == 2


async def test_an_operator_s_kind_counts(memory_bus: MemoryBus, clock: FakeClock) -> None:
    said = replace(NO_SUCH_USER, status="5.0.0", reply="550 persona non grata")
    host = Host({ANN: said})
    courier, _ = remembering(
        host, memory_bus, clock, suppress="60", replykinds="unknown_user:non grata"
    )
    await courier.deliver(mail())
    await courier.deliver(mail())
    assert len(host.given) == 1


def test_a_long_reply_is_cut_and_the_date_stands_before_it() -> None:
    held = Suppression(
        address=ANN, until=1.0, at=0.0, status="5.2.1", reply="550 " + "x" * 296, mail_id="m"
    )
    assert refusal(held).text.index("(#5.2.1)") < 120
