"""The courier against real peers and a real name server on loopback."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.mx import DnsResolver
from services.remote.plan import Plan, Planner, planner
from services.remote.pool import Pool
from services.remote.terms import Source
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import MemoryBus
from tests.remote.smtp_peer import PLAIN, MemoryPeer, listening, speaking
from tubepost.control import Control
from tubepost.delivery import Courier, Mail
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import Wish
from tubepost.smtproutes import Login
from tubepost.subjects import Key

ZONE = """
good.example. IN MX 10 mx.good.example.
mx.good.example. IN A 127.0.0.1
backup.example. IN MX 10 one.backup.example.
backup.example. IN MX 20 two.backup.example.
one.backup.example. IN A 127.0.0.2
two.backup.example. IN A 127.0.0.1
relay.example. IN A 127.0.0.1
twice.example. IN A 127.0.0.1
twice.example. IN A 127.0.0.2
relay.example. IN MX 0 .
"""
RECIPIENTS = ("a@good.example", "b@good.example")


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


def courier(zone: DnsServer, port: int, *routes: str) -> RemoteCourier:
    return RemoteCourier(
        plan=planned(*routes),
        resolver=DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0),
        pool=Pool(),
        port=port,
    )


def planned(*routes: str) -> Planner:
    """The plans of a host `me.example` with these smtproutes."""
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    if routes:
        control._on_change("smtproutes", {"lines": routes})
    return planner(control)


def mail(destination: str = "good.example") -> Mail:
    key = Key(0, "m1", "0")
    return Mail(key, "s@example.org", RECIPIENTS, destination, b"hello\r\n", 1, 0.0)


def the_one(outcomes: dict[str, Outcome]) -> Outcome:
    """The outcome that all recipients share."""
    assert set(outcomes) == set(RECIPIENTS)
    assert len(set(outcomes.values())) == 1
    return outcomes[RECIPIENTS[0]]


async def attempt(courier: Courier, destination: str = "good.example") -> dict[str, Outcome]:
    return dict(await courier.deliver(mail(destination)))


async def test_mail_goes_to_the_exchanger(zone: DnsServer) -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer)) as port:
        outcomes = await attempt(courier(zone, port))
    assert isinstance(the_one(outcomes), Delivered)
    assert the_one(outcomes).seconds > 0
    assert peer.lines[0] == "EHLO me.example"
    assert peer.bodies == [b"hello\r\n"]


async def test_the_next_host_when_one_refuses_the_connection(zone: DnsServer) -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer)) as port:  # on 127.0.0.1 only: 127.0.0.2 refuses
        outcomes = await attempt(courier(zone, port), "backup.example")
    assert isinstance(the_one(outcomes), Delivered)


async def two_peers(
    zone: DnsServer, first: MemoryPeer, greeting: bytes, second: MemoryPeer
) -> dict[str, Outcome]:
    """An attempt where 127.0.0.2 is the better exchanger and 127.0.0.1 the other one."""
    async with listening(speaking(second)) as port:
        server = listening(speaking(first, greeting), "127.0.0.2", port)
        async with server:
            return await attempt(courier(zone, port), "backup.example")


@pytest.mark.parametrize("greeting", [b"554 not you\r\n", b"421 busy\r\n", b"nonsense\r\n"])
async def test_the_next_host_when_one_fails_the_greeting(zone: DnsServer, greeting: bytes) -> None:
    second = MemoryPeer()
    outcomes = await two_peers(zone, MemoryPeer(), greeting, second)
    assert isinstance(the_one(outcomes), Delivered)
    assert len(second.bodies) == 1


@pytest.mark.parametrize(
    "answers",
    [
        {"MAIL": b"421 busy\r\n"},
        {"RCPT": b"421 busy\r\n"},
        {"DATA": b"nonsense\r\n"},
    ],
)
async def test_the_next_host_when_one_breaks_before_the_content(
    zone: DnsServer, answers: dict[str, bytes]
) -> None:
    first, second = MemoryPeer(answers), MemoryPeer()
    outcomes = await two_peers(zone, first, b"220 hi\r\n", second)
    assert isinstance(the_one(outcomes), Delivered)
    assert (len(first.bodies), len(second.bodies)) == (0, 1)


async def test_the_next_host_is_not_asked_about_those_with_an_answer(zone: DnsServer) -> None:
    first = MemoryPeer({"RCPT TO:<a": b"550 5.1.1 who?\r\n", "DATA": b"421 busy\r\n"})
    second = MemoryPeer()
    outcomes = await two_peers(zone, first, b"220 hi\r\n", second)
    assert set(outcomes) == set(RECIPIENTS)
    assert isinstance(outcomes["a@good.example"], Failed)
    assert isinstance(outcomes["b@good.example"], Delivered)
    assert [line for line in second.lines if line.startswith("RCPT")] == [
        "RCPT TO:<b@good.example>"
    ]


async def test_all_breaking_before_the_content_is_temporary(zone: DnsServer) -> None:
    both = MemoryPeer({"MAIL": b"421 busy\r\n"}), MemoryPeer({"RCPT": b"421 full\r\n"})
    outcome = the_one(await two_peers(zone, both[0], b"220 hi\r\n", both[1]))
    assert isinstance(outcome, Deferred)
    assert outcome.reply == "421 full"
    assert outcome.phase == "rcpt"
    assert not outcome.no_connection


async def test_a_break_after_the_final_dot_is_never_tried_elsewhere(zone: DnsServer) -> None:
    second = MemoryPeer()
    outcomes = await two_peers(zone, MemoryPeer({".": b"nonsense\r\n"}), b"220 hi\r\n", second)
    assert "Possible duplicate!" in the_one(outcomes).text
    assert second.lines == []


UTF8 = b"250-peer.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
PEERS = {"good": UTF8, "lacks it": b"250 peer.example\r\n"}


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("lacks it", "good", Delivered),
        ("lacks it", "lacks it", Failed),
        ("lacks it", "greets badly", Deferred),
        ("greets badly", "lacks it", Deferred),
    ],
)
async def test_smtputf8_is_looked_for_at_every_host(
    zone: DnsServer, first: str, second: str, kind: type[Outcome]
) -> None:
    """A host that cannot be asked may offer it: only where all say no is it a failure."""
    wide = replace(mail("backup.example"), sender="jos\xe9@x.example", smtputf8=True)
    peers = [MemoryPeer(ehlo=PEERS.get(way, b"451 no\r\n")) for way in (first, second)]
    async with listening(speaking(peers[1])) as port:
        server = listening(speaking(peers[0]), "127.0.0.2", port)
        async with server:
            outcomes = await courier(zone, port).deliver(wide)
    outcome = the_one(dict(outcomes))
    assert isinstance(outcome, kind)
    if isinstance(outcome, Failed):
        assert outcome.status == "5.6.7"


async def test_who_was_delivered_to_is_known_to_the_queue_before_another_host_is_asked(
    zone: DnsServer,
) -> None:
    """Should the other host hang, and the worker be stopped: nobody gets the mail twice."""
    ann, jose = "a@backup.example", "jos\xe9@backup.example"
    both = replace(mail("backup.example"), recipients=(ann, jose), smtputf8=True)
    plain, wide = MemoryPeer(ehlo=PLAIN), MemoryPeer(ehlo=UTF8)
    async with listening(speaking(wide)) as port:
        server = listening(speaking(plain), "127.0.0.2", port)
        async with server:
            first = await courier(zone, port).deliver(both)
            assert wide.lines == []
            second = await courier(zone, port).deliver(replace(both, recipients=(jose,)))
    assert isinstance(first[ann], Delivered)
    rest = first[jose]
    assert isinstance(rest, Deferred)
    assert (rest.at_once, rest.status) == (True, "4.6.7")
    assert isinstance(second[jose], Delivered)
    assert (len(plain.bodies), len(wide.bodies)) == (1, 1)


SMALL = b"250-peer.example\r\n250 SIZE 3\r\n"


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (SMALL, PLAIN, Delivered),
        (SMALL, SMALL, Failed),
        (SMALL, b"451 no\r\n", Deferred),
        (b"451 no\r\n", SMALL, Deferred),
    ],
)
async def test_a_host_that_takes_a_mail_of_that_size_is_looked_for(
    zone: DnsServer, first: bytes, second: bytes, kind: type[Outcome]
) -> None:
    peers = MemoryPeer(ehlo=first), MemoryPeer(ehlo=second)
    outcome = the_one(await two_peers(zone, peers[0], b"220 hi\r\n", peers[1]))
    assert isinstance(outcome, kind)
    assert isinstance(outcome, Delivered) or outcome.status in ("5.3.4", "4.4.2")


async def test_another_address_of_a_host_without_smtputf8_is_not_waited_for(
    zone: DnsServer,
) -> None:
    wide = replace(mail("twice.example"), sender="jos\xe9@x.example", smtputf8=True)
    async with listening(speaking(MemoryPeer(ehlo=PLAIN))) as port:  # nobody is at 127.0.0.2
        outcomes = await courier(zone, port).deliver(wide)
    assert isinstance(the_one(dict(outcomes)), Failed)


async def test_each_recipient_has_the_reason_of_its_own(zone: DnsServer) -> None:
    """Most cannot be told to the host at all, with one the session breaks."""
    to = ("a@backup.example", *(f"jos\xe9{n}@backup.example" for n in range(20)))
    both = replace(mail("backup.example"), recipients=to)
    async with listening(speaking(MemoryPeer({"RCPT": b"421 full\r\n"}))) as port:
        outcomes = await courier(zone, port).deliver(both)
    assert [outcomes[r].status for r in to] == ["4.4.2", *["4.4.1"] * 20]
    assert "421 full" in outcomes[to[0]].text


async def test_a_refused_login_defers_and_the_next_relay_is_asked(zone: DnsServer) -> None:
    """Said in the clear here, because the route's policy allows it."""
    ehlo = b"250-peer.example\r\n250 AUTH PLAIN\r\n"
    peers = [MemoryPeer({"AUTH": b"535 5.7.8 no\r\n"}, ehlo=ehlo) for _ in range(2)]
    login = Login("user", "s3cret")

    def with_login(destination: str) -> Plan:
        plan = planned()(destination)
        return replace(plan, terms=replace(plan.terms, login=login))

    async with listening(speaking(peers[1])) as port:
        server = listening(speaking(peers[0]), "127.0.0.2", port)
        async with server:
            remote = replace(courier(zone, port), plan=with_login)
            outcome = the_one(await attempt(remote, "backup.example"))
    assert isinstance(outcome, Deferred)
    assert (outcome.status, outcome.phase) == ("4.7.8", "auth")
    assert "s3cret" not in repr(outcome)
    assert all("MAIL" not in line for peer in peers for line in peer.lines)
    assert all(peer.lines[1].startswith("AUTH PLAIN ") for peer in peers)


def test_eightbit_is_a_setting() -> None:
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    assert planner(control)("good.example").terms.dialect.convert
    control._on_change("eightbit", {"lines": ("send",)})
    assert not planner(control)("good.example").terms.dialect.convert


@pytest.mark.parametrize("code", [450, 550])
async def test_no_next_host_once_one_has_judged_the_mail(zone: DnsServer, code: int) -> None:
    second = MemoryPeer()
    first = MemoryPeer({"MAIL": b"%d no\r\n" % code, "RCPT": b"503 no\r\n", "DATA": b"503 no\r\n"})
    outcome = the_one(await two_peers(zone, first, b"220 hi\r\n", second))
    assert isinstance(outcome, Failed if code == 550 else Deferred)
    assert outcome.text.startswith("Connected to 127.0.0.2 but sender was rejected.")
    assert second.lines == []


async def test_all_greetings_failing_is_temporary(zone: DnsServer) -> None:
    async with listening(speaking(MemoryPeer(), b"554 5.7.1 no\r\n")) as port:
        outcome = the_one(await attempt(courier(zone, port), "backup.example"))
    text = "Connected to 127.0.0.1 but greeting failed./Remote host said: 554 5.7.1 no"
    assert outcome == Deferred(
        text=text, status="4.4.2", reply="554 5.7.1 no", no_connection=True, phase="connect"
    )


async def test_no_connection_to_any_host(zone: DnsServer, unused_tcp_port: int) -> None:
    outcome = the_one(await attempt(courier(zone, unused_tcp_port), "backup.example"))
    text = (
        "Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)"
        "/127.0.0.2: connection refused/127.0.0.1: connection refused"
    )
    assert outcome == Deferred(text=text, status="4.4.1", no_connection=True, phase="connect")
    assert outcome.seconds == 0, "no host took any"


async def test_unknown_domain_fails_for_all(zone: DnsServer) -> None:
    outcome = the_one(await attempt(courier(zone, 1), "absent.example"))
    assert isinstance(outcome, Failed)
    assert outcome.phase == "dns"
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.1.2"


async def test_dns_trouble_defers(zone: DnsServer) -> None:
    zone.failing = {("good.example", "*")}
    assert isinstance(the_one(await attempt(courier(zone, 1))), Deferred)


async def test_literal_destination(zone: DnsServer) -> None:
    async with listening(speaking(MemoryPeer())) as port:
        outcomes = await attempt(courier(zone, port), "[127.0.0.1]")
    assert isinstance(the_one(outcomes), Delivered)


@pytest.mark.parametrize("route", ["good.example:relay.example:{}", ":127.0.0.1:{}"])
async def test_a_route_replaces_the_exchangers(zone: DnsServer, route: str) -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer)) as port:
        outcomes = await attempt(courier(zone, 1, route.format(port)))
    assert isinstance(the_one(outcomes), Delivered)
    assert not [question for question in zone.asked if question[1] == "MX"]


async def test_a_relay_that_does_not_exist_defers(zone: DnsServer) -> None:
    outcome = the_one(await attempt(courier(zone, 1, ":absent.example")))
    assert isinstance(outcome, Deferred)
    assert "absent.example, the relay in smtproutes" in outcome.text


async def test_settings_are_asked_anew_for_each_mail(zone: DnsServer) -> None:
    peer = MemoryPeer()
    names = iter(["one.example", "two.example"])
    plan = planned()

    def renamed(destination: str) -> Plan:
        terms = replace(plan(destination).terms, source=Source(helo=next(names)))
        return Plan((), terms)

    async with listening(speaking(peer)) as port:
        remote = replace(courier(zone, port), plan=renamed)
        await attempt(remote)
        await attempt(remote)
    assert [line for line in peer.lines if "EHLO" in line] == [
        "EHLO one.example",
        "EHLO two.example",
    ]


async def test_what_the_sender_asks_for_goes_along(zone: DnsServer) -> None:
    peer = MemoryPeer(ehlo=b"250-peer.example\r\n250 DSN\r\n")
    asking = replace(mail(), ret="FULL", envid="id", wishes={RECIPIENTS[0]: Wish("SUCCESS")})
    async with listening(speaking(peer)) as port:
        outcomes = await courier(zone, port).deliver(asking)
    assert [line for line in peer.lines if line.startswith(("MAIL", "RCPT"))] == [
        "MAIL FROM:<s@example.org> RET=FULL ENVID=id",
        "RCPT TO:<a@good.example> NOTIFY=SUCCESS ORCPT=rfc822;a@good.example",
        "RCPT TO:<b@good.example>",
    ]
    done = the_one(dict(outcomes))
    assert isinstance(done, Delivered)
    assert done.reports


async def test_what_the_sender_asked_for_reaches_the_host(zone: DnsServer) -> None:
    peer = MemoryPeer(ehlo=b"250-peer.example\r\n250 SMTPUTF8\r\n")
    async with listening(speaking(peer)) as port:
        await courier(zone, port).deliver(replace(mail(), sender="josé@x.example", smtputf8=True))
    assert "MAIL FROM:<josé@x.example> SMTPUTF8" in peer.lines
