"""DNS lists, the client's name and the sender's domain: sessions against a real name server."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.smtpd.gather import Gatherer
from services.smtpd.lookups import Lookups
from tests.dns_server import DnsServer, serving_dns
from tests.smtpd.client import connected
from tests.smtpd.running import PATIENCE, Smtpd, running
from tubepost import metrics
from tubepost.blocklists import DnsList, Found, question
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.dns_client import DnsClient
from tubepost.nats_bus import NatsBus
from tubepost.relay_list import RelayList

ME = "1.0.0.127"
"""The tests' clients come from 127.0.0.1."""
ZONE = f"""
{ME}.bl.example. IN A 127.0.0.2
{ME}.bl.example. IN TXT "see http://bl.example/"
{ME}.mute.example. IN A 127.0.0.2
{ME}.wl.example. IN A 127.0.0.2
{ME}.broken.example. IN A 127.255.255.254
1.0.0.127.in-addr.arpa. IN PTR Mail.Sender.Example.
mail.sender.example. IN A 127.0.0.1
sender.example. IN MX 10 mail.sender.example.
null.example. IN MX 0 .
plain.example. IN AAAA 2001:db8::1
empty.example. IN TXT "nothing here"
"""
RCPT = "RCPT TO:<ann@example.net>"


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


@pytest.fixture
async def smtpd(bus: NatsBus, zone: DnsServer) -> AsyncIterator[Smtpd]:
    async with running(bus, dns=DnsClient(["127.0.0.1"], port=zone.port, seconds=5.0)) as smtpd:
        await smtpd.add_accounts("ann@example.net")
        yield smtpd


async def at_rcpt(smtpd: Smtpd, sender: str = "joe@sender.example", helo: str = "x.example") -> str:
    """The reply to a recipient of ours."""
    async with connected(smtpd.ports["smtp"]) as client:
        return await client.ask(f"HELO {helo}", f"MAIL FROM:<{sender}>", RCPT)


def counted(name: str, result: str) -> float:
    return float(metrics.RBL_ANSWERS.labels(name, result)._value.get())


async def test_nobody_is_asked_anything_by_default(smtpd: Smtpd, zone: DnsServer) -> None:
    assert await at_rcpt(smtpd, "joe@no-such.example") == "250 ok"
    assert zone.asked == []


@pytest.mark.parametrize(
    ("lists", "reply"),
    [
        (("bl.example",), "451 see http://bl.example/"),
        (("-r bl.example=127.0.0.4",), "250 ok"),
        (("mute.example",), "451 127.0.0.1 is listed by mute.example"),
        (("bl.example:go away, %IP%",), "451 go away, 127.0.0.1"),
        (("-a wl.example", "bl.example"), "250 ok"),
        (("bl.example", "-a wl.example"), "451 see http://bl.example/"),
        (("-a nowhere.example", "other.example", "bl.example"), "451 see http://bl.example/"),
        (("broken.example",), "250 ok"),
        (("broken.example", "bl.example"), "451 see http://bl.example/"),
    ],
)
async def test_the_first_list_that_has_the_client_decides(
    smtpd: Smtpd, lists: tuple[str, ...], reply: str
) -> None:
    await smtpd.set(rbl=lists)
    assert await at_rcpt(smtpd) == reply


@pytest.mark.parametrize("ip", ["192.0.2.7", "2001:db8::7"])
async def test_both_families_are_looked_up(bus: NatsBus, ip: str) -> None:
    name = question(ip, "bl.example")
    records = f'{name}. IN A 127.0.0.3\n{name}. IN TXT "seen"\n'
    async with serving_dns(records) as zone:
        control, relay_list = Control(bus, "mail.example"), RelayList(bus, time.time)
        gather = Gatherer(control, Directory(bus), relay_list)
        asks = Lookups(gather, DnsClient(["127.0.0.1"], port=zone.port))
        until = asyncio.get_running_loop().time() + PATIENCE
        assert await asks.ask_list(DnsList("bl.example"), ip, until) == (Found.LISTED, "seen")
        assert zone.asked == [(name, "A"), (name, "TXT")]


async def test_a_name_server_that_refuses_is_no_reason_to_refuse(bus: NatsBus) -> None:
    async with serving_dns("") as zone:
        port = zone.port
    async with running(bus, dns=DnsClient(["127.0.0.1"], port=port, seconds=0.2)) as smtpd:
        await smtpd.add_accounts("ann@example.net")
        await smtpd.set(rbl="bl.example", lookuphost="1")
        assert await at_rcpt(smtpd) == "250 ok"
        await smtpd.set(mfdnscheck="1")
        assert await at_rcpt(smtpd) == "451 DNS temporary failure (#4.4.3)"


async def test_the_code_is_the_operators(smtpd: Smtpd) -> None:
    await smtpd.set(rbl="bl.example", rblcode="553")
    assert await at_rcpt(smtpd) == "553 see http://bl.example/"


async def test_a_list_that_fails_refuses_nobody_and_is_named_once_in_a_while(
    smtpd: Smtpd, zone: DnsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    zone.failing = {(f"{ME}.bl.example", "A")}
    await smtpd.set(rbl=("bl.example", "broken.example"))
    before = counted("bl.example", "failed")
    assert [await at_rcpt(smtpd) for _ in range(3)] == ["250 ok"] * 3
    assert counted("bl.example", "failed") == before + 3
    said = [line for line in capsys.readouterr().out.splitlines() if "rbl.failed" in line]
    assert len(said) == 2
    assert "NoNameservers" in said[0]
    assert "127.255.255.254" in said[1]


async def test_a_list_without_its_text_refuses_all_the_same(smtpd: Smtpd, zone: DnsServer) -> None:
    zone.failing = {(f"{ME}.bl.example", "TXT")}
    await smtpd.set(rbl="bl.example")
    assert await at_rcpt(smtpd) == "451 127.0.0.1 is listed by bl.example"


async def test_a_silent_list_is_waited_for_so_long_and_not_longer(
    smtpd: Smtpd, zone: DnsServer
) -> None:
    zone.silent = {(f"{ME}.bl.example", "A")}
    await smtpd.set(rbl=("bl.example", "mute.example"), rbltimeout="1")
    assert await at_rcpt(smtpd) == "451 127.0.0.1 is listed by mute.example"


async def test_all_lists_are_asked_at_connect_and_at_once(smtpd: Smtpd, zone: DnsServer) -> None:
    zone.holding = True
    await smtpd.set(rbl=("other.example", "bl.example", "wl.example"))
    async with connected(smtpd.ports["smtp"]) as client:
        await zone.came(3)
        assert await client.ask("MAIL FROM:<joe@sender.example>") == "250 ok"
        await client.say(RCPT.encode() + b"\r\n")
        zone.let_go()
        assert await client.reply() == "451 see http://bl.example/"


async def test_a_second_client_from_there_costs_no_question(smtpd: Smtpd, zone: DnsServer) -> None:
    await smtpd.set(rbl=("bl.example", "other.example"))
    first = await at_rcpt(smtpd)
    asked = len(zone.asked)
    assert asked == 3
    assert await at_rcpt(smtpd) == first
    assert len(zone.asked) == asked


async def test_a_client_that_leaves_takes_its_questions_along(
    smtpd: Smtpd, zone: DnsServer
) -> None:
    zone.holding = True
    await smtpd.set(rbl="bl.example")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("NOOP")
        [session] = smtpd.listeners["smtp"].sessions
        findings = session._findings  # type: ignore[attr-defined]
    [(_, question)] = findings._hits
    await asyncio.wait({question}, timeout=PATIENCE)
    assert question.cancelled()
    zone.let_go()


@pytest.mark.parametrize("variable", ["RELAYCLIENT", "RBLSMTPD"])
async def test_a_client_exempt_by_rule_is_not_looked_up(
    smtpd: Smtpd, zone: DnsServer, variable: str
) -> None:
    await smtpd.set(rbl="bl.example", tcprules=f'127.0.0.1:allow,{variable}=""')
    assert await at_rcpt(smtpd) == "250 ok"
    assert zone.asked == []


async def test_a_client_on_the_relay_list_is_on_no_other(smtpd: Smtpd) -> None:
    await smtpd.set(rbl="bl.example", mfdnscheck="1", badhelo="x.example")
    assert (await at_rcpt(smtpd)).startswith("451 see")
    await smtpd.relay_list.add("127.0.0.1", user="bob@example.net", window=3600, by="test")
    assert await at_rcpt(smtpd, "joe@no-such.example") == "250 ok"


@pytest.mark.parametrize("setting", ["proxynetworks", "clusternetworks"])
async def test_an_address_that_stands_for_many_is_on_the_other_lists(
    smtpd: Smtpd, setting: str
) -> None:
    """A login from there says nothing about who connects now."""
    await smtpd.set(rbl="bl.example", **{setting: "127.0.0.0/8"})
    await smtpd.relay_list.add("127.0.0.1", user="bob@example.net", window=3600, by="test")
    assert await at_rcpt(smtpd) == "451 see http://bl.example/"


async def test_a_login_by_pop3_lifts_a_block_by_rule_for_our_own_recipients_too(
    smtpd: Smtpd,
) -> None:
    await smtpd.set(tcprules='127.0.0.1:allow,RBLSMTPD="go away"')
    assert await at_rcpt(smtpd) == "451 go away"
    await smtpd.relay_list.add("127.0.0.1", user="bob@example.net", window=3600, by="test")
    assert await at_rcpt(smtpd) == "250 ok"


MUST_EXIST = "553 sorry, your envelope sender domain must exist (#5.1.8)"


@pytest.mark.parametrize(
    ("domain", "reply"),
    [
        ("sender.example", "250 ok"),
        ("plain.example", "250 ok"),
        ("[192.0.2.1]", "250 ok"),
        ("no-such.example", MUST_EXIST),
        ("empty.example", MUST_EXIST),
        ("null.example", MUST_EXIST),
    ],
)
async def test_a_senders_domain_has_to_exist(smtpd: Smtpd, domain: str, reply: str) -> None:
    await smtpd.set(mfdnscheck="1")
    assert await at_rcpt(smtpd, f"joe@{domain}") == reply


async def test_the_null_sender_and_an_exempt_one_have_no_domain_to_check(smtpd: Smtpd) -> None:
    await smtpd.set(mfdnscheck="1", badmailfrom=("?joe@no-such.example", "*@no-such.example"))
    assert await at_rcpt(smtpd, "") == "250 ok"
    assert await at_rcpt(smtpd, "joe@no-such.example") == "250 ok"
    assert (await at_rcpt(smtpd, "ann@no-such.example")).startswith("553 ")


@pytest.mark.parametrize(
    "failing", [("sender.example", "MX"), ("plain.example", "A"), ("plain.example", "AAAA")]
)
async def test_dns_trouble_is_temporary(
    smtpd: Smtpd, zone: DnsServer, failing: tuple[str, str]
) -> None:
    zone.failing = {failing, ("plain.example", "AAAA")}
    await smtpd.set(mfdnscheck="1")
    reply = await at_rcpt(smtpd, f"joe@{failing[0]}")
    assert reply == "451 DNS temporary failure (#4.4.3)"


BAD = "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("@other.example=", BAD),
        ("@other.example-", "250 ok"),
        ("@other.example+", BAD),
        ("~sender.example", BAD),
        ("~else.example", "250 ok"),
        ("*@*.example", BAD),
    ],
)
async def test_lines_of_badmailfrom_for_some_clients(smtpd: Smtpd, line: str, reply: str) -> None:
    await smtpd.set(badmailfrom=line)
    assert await at_rcpt(smtpd, "joe@other.example") == reply
    if not line.startswith("*"):
        assert await at_rcpt(smtpd, "joe@sender.example") == "250 ok"


async def test_a_name_that_nobody_knows_now_is_no_reason_to_refuse(
    smtpd: Smtpd, zone: DnsServer
) -> None:
    zone.failing = {("1.0.0.127.in-addr.arpa", "PTR")}
    await smtpd.set(badmailfrom=("@other.example=", "@other.example-", "~sender.example"))
    assert await at_rcpt(smtpd, "joe@other.example") == "250 ok"


HELO = "553 sorry, your HELO/EHLO greeting is not accepted here (#5.7.1)"


@pytest.mark.parametrize(
    ("check", "helo", "reply"),
    [
        ("=", "mail.sender.example", "250 ok"),
        ("=", "MAIL.sender.example", "250 ok"),
        ("=", "sender.example", HELO),
        ("A", "plain.example", "250 ok"),
        ("A", "sender.example", HELO),
        ("M", "sender.example", "250 ok"),
        ("M", "empty.example", HELO),
        (".", "anything", "250 ok"),
    ],
)
async def test_helocheck(smtpd: Smtpd, check: str, helo: str, reply: str) -> None:
    await smtpd.set(helocheck=check)
    assert await at_rcpt(smtpd, helo=helo) == reply


async def test_helocheck_wants_a_helo(smtpd: Smtpd) -> None:
    await smtpd.set(helocheck=".")
    async with connected(smtpd.ports["smtp"]) as client:
        assert await client.ask("MAIL FROM:<joe@sender.example>", RCPT) == HELO


async def test_a_helo_that_cannot_be_looked_up_is_temporary(smtpd: Smtpd, zone: DnsServer) -> None:
    zone.failing = {("empty.example", "A")}
    await smtpd.set(helocheck="A")
    reply = await at_rcpt(smtpd, helo="empty.example")
    assert reply == "451 unable to look up your HELO/EHLO greeting now (#4.4.3)"


@pytest.mark.parametrize(
    ("setting", "spoilt", "shown"),
    [
        ("1", (), b"mail.sender.example"),
        ("paranoid", (), b"mail.sender.example"),
        ("1", ("mail.sender.example", "A"), b"mail.sender.example"),
        ("paranoid", ("mail.sender.example", "A"), b"unknown"),
        ("1", ("1.0.0.127.in-addr.arpa", "PTR"), b"unknown"),
        ("0", (), b"unknown"),
    ],
)
async def test_the_clients_name_in_received(
    smtpd: Smtpd,
    zone: DnsServer,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    spoilt: tuple[str, str],
    shown: bytes,
) -> None:
    zone.failing = {spoilt} if spoilt else set()
    await smtpd.set(lookuphost=setting)
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("HELO x.example")
        await client.begin_mail()
        assert (await client.ask("\r\nhello\r\n.")).startswith("250 ok ")
    _, received, _ = await smtpd.only_mail()
    assert received.startswith(b"Received: from " + shown + b" (HELO x.example) (127.0.0.1)")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "mail.accepted" in line]
    assert ("mail.sender.example" in line) == (shown != b"unknown")


async def test_a_name_that_is_only_shown_does_not_hold_a_recipient_up(
    smtpd: Smtpd, zone: DnsServer
) -> None:
    zone.holding = True
    await smtpd.set(lookuphost="1", rbltimeout="60")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()  # nobody has answered yet
        await zone.came(1)
        await client.say(b"\r\nhello\r\n.\r\n")
        zone.let_go()
        assert (await client.reply()).startswith("250 ok ")
    _, received, _ = await smtpd.only_mail()
    assert received.startswith(b"Received: from mail.sender.example (127.0.0.1)")


async def test_a_name_that_does_not_point_back_is_none(bus: NatsBus) -> None:
    records = "1.0.0.127.in-addr.arpa. IN PTR liar.example.\nliar.example. IN A 192.0.2.1\n"
    async with serving_dns(records) as zone:
        dns = DnsClient(["127.0.0.1"], port=zone.port)
        async with running(bus, dns=dns) as smtpd:
            assert smtpd.lookups
            until = asyncio.get_running_loop().time() + PATIENCE
            ask = smtpd.lookups.client_name
            assert await ask("127.0.0.1", until, paranoid=False) == "liar.example"
            assert await ask("127.0.0.1", until, paranoid=True) == ""
            assert await ask("2001:db8::1", until, paranoid=True) == ""
