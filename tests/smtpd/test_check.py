"""GET /v1/smtp/check says what a session would be told, and why."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from services.smtpd import check, policy
from services.smtpd.gather import Gatherer
from services.smtpd.lookups import Lookups
from tests.dns_server import serving_dns
from tests.smtpd.client import connected
from tests.smtpd.running import Smtpd, running
from tubepost.admin import Health, create_app
from tubepost.dns_client import DnsClient
from tubepost.nats_bus import NatsBus

DENIED = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
CLIENT = "198.51.100.7"
NOTHING = "no rule, no login and no entry of the relay list lets it relay"


@pytest.fixture
async def http(smtpd: Smtpd) -> AsyncIterator[httpx.AsyncClient]:
    await smtpd.set(
        rcpthosts="backup.example",
        badmailfrom="@bad.example",
        tcprules=('192.0.2.:allow,RELAYCLIENT=""', "203.0.113.9:deny"),
    )
    async with answering(smtpd) as client:
        yield client


ZONE = """
1.0.0.127.bl.example. IN A 127.0.0.2
1.0.0.127.bl.example. IN TXT "seen"
there.example. IN MX 10 mx.there.example.
"""


@asynccontextmanager
async def answering(
    smtpd: Smtpd, lookups: Lookups | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """What asks /v1 of smtpd."""
    app = create_app(Health(), "secret")
    gatherer = Gatherer(smtpd.control, smtpd.directory, smtpd.relay_list)
    app.include_router(check.router(gatherer, lookups))
    headers = {"Authorization": "Bearer secret"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://smtpd", headers=headers
    ) as client:
        yield client


async def asked(http: httpx.AsyncClient, ip: str, **more: str) -> dict[str, Any]:
    answer = await http.get("/v1/smtp/check", params={"ip": ip, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("ip", "more", "sentence"),
    [
        ("192.0.2.7", {"recipient": "joe@example.org"},
         ('192.0.2.7 may send to joe@example.org: the rule 192.0.2.:allow,RELAYCLIENT="" '
         "lets it relay")),
        ("::ffff:192.0.2.7", {},
         ("192.0.2.7 may connect, and relay to other domains: the rule "
         '192.0.2.:allow,RELAYCLIENT="" lets it relay')),
        (CLIENT, {"recipient": "ann@example.net"},
         (f"{CLIENT} may send to ann@example.net: example.net is a domain of ours, and the mailbox "
         "exists")),
        (CLIENT, {"recipient": "joe@backup.example"},
         f"{CLIENT} may send to joe@backup.example: rcpthosts lists backup.example"),
        (CLIENT, {"recipient": "joe@example.org", "user": "Bob@example.net"},
         f"{CLIENT} may send to joe@example.org: bob@example.net has logged in by AUTH"),
        ("2001:db8::7", {},
         f"2001:db8::7 may connect, and send to our own domains only: {NOTHING}"),
    ],
)  # fmt: skip
async def test_who_may_send(
    http: httpx.AsyncClient, ip: str, more: dict[str, str], sentence: str
) -> None:
    found = await asked(http, ip, **more)
    assert found["sentence"] == sentence
    assert found["accepted"]
    assert {said["reply"] for said in found["policies"]} == {""}


@pytest.mark.parametrize(
    ("ip", "more", "verdict", "sentence"),
    [
        (CLIENT, {"recipient": "joe@example.org"}, "rcpthosts",
         f"{CLIENT} may not send to joe@example.org ({NOTHING}), refused at RCPT: {DENIED}"),
        (CLIENT, {"recipient": "eve@example.net"}, "mailbox",
         (f"{CLIENT} may not send to eve@example.net, refused at RCPT: "
         "550 sorry, no mailbox here by that name (#5.1.1)")),
        ("192.0.2.7", {"recipient": "joe@example.org", "sender": "x@bad.example"}, "badmailfrom",
         ("192.0.2.7 may not send to joe@example.org, refused at RCPT: "
         "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)")),
        ("203.0.113.9", {}, "tcprules",
         ("203.0.113.9 is refused at connect: "
         "554 sorry, your address is not allowed here (#5.7.1)")),
    ],
)  # fmt: skip
async def test_who_may_not(
    http: httpx.AsyncClient, ip: str, more: dict[str, str], verdict: str, sentence: str
) -> None:
    found = await asked(http, ip, **more)
    assert not found["accepted"]
    assert [said["verdict"] for said in found["policies"] if said["verdict"]] == [verdict]
    assert found["sentence"] == sentence


async def test_postmaster_without_a_domain_is_taken_from_anybody(
    http: httpx.AsyncClient, smtpd: Smtpd
) -> None:
    await smtpd.set(doublebouncehost="operator.example")
    found = await asked(http, CLIENT, recipient="Postmaster")
    assert found["sentence"] == (
        f"{CLIENT} may send to postmaster@operator.example: postmaster without a domain is taken "
        "from anybody"
    )


async def test_a_login_from_the_address_is_shown(http: httpx.AsyncClient, smtpd: Smtpd) -> None:
    entry, _ = await smtpd.relay_list.add(CLIENT, user="bob@example.net", window=900, by="pop-1")
    found = await asked(http, CLIENT, recipient="joe@example.org")
    assert found["sentence"] == (
        f"{CLIENT} may send to joe@example.org: bob@example.net logged in by POP3 from this address"
    )
    assert found["relay_list"]["user"] == "bob@example.net"
    assert (found["relay_list"]["at"], found["relay_list"]["until"]) == (entry.at, entry.until)
    assert found["recipient"] == {
        "address": "joe@example.org",
        "local": False,
        "mailbox": False,
        "rule": "",
        "in_rcpthosts": False,
        "relayed": True,
    }


async def test_a_proxy_does_not_use_the_list(http: httpx.AsyncClient, smtpd: Smtpd) -> None:
    await smtpd.relay_list.add(CLIENT, user="bob@example.net", window=900, by="pop-1")
    await smtpd.set(proxynetworks="198.51.100.0/24")
    found = await asked(http, CLIENT, recipient="joe@example.org")
    assert (found["accepted"], found["list_is_used"], found["relay_list"]) == (False, False, None)


async def test_a_proxy_s_own_address_does_not_use_it_even_where_it_is_named(
    http: httpx.AsyncClient, smtpd: Smtpd
) -> None:
    """As a session has it: relaynetworks lets a node use the list, never a balancer."""
    await smtpd.relay_list.add(CLIENT, user="bob@example.net", window=900, by="pop-1")
    await smtpd.set(proxynetworks="198.51.100.0/24", relaynetworks="198.51.100.0/24")
    found = await asked(http, CLIENT)
    assert (found["list_is_used"], found["relay_list"]) == (False, None)
    assert "and send to our own domains only" in found["sentence"]


async def test_every_policy_is_asked_in_the_order_of_the_chains(http: httpx.AsyncClient) -> None:
    found = await asked(http, CLIENT, recipient="joe@example.org")
    assert [(said["at"], said["policy"]) for said in found["policies"]] == [
        *(("connect", one.__name__) for one in policy.CONNECT),
        *(("MAIL", one.__name__) for one in policy.MAIL),
        *(("RCPT", one.__name__) for one in policy.RCPT),
    ]


async def test_a_rate_that_is_used_up_shows(smtpd: Smtpd) -> None:
    gather = smtpd.listeners["smtp"].parts.gather
    await smtpd.set(smtprates="connections:1/h")
    async with connected(smtpd.ports["smtp"]):
        pass
    client = check._client(gather, "127.0.0.1", "")
    found = await check.Check(gather, client, "").answer("ann@example.net")
    assert [said["verdict"] for said in found["policies"] if said["verdict"]] == [
        "rate_connections"
    ]
    assert not found["accepted"]


@pytest.mark.parametrize(
    ("rules", "recipient"),
    [
        ((":allow",), "joe@example.org"),
        ((":allow",), "ann@example.net"),
        ((":allow",), "eve@example.net"),
        ((':allow,RELAYCLIENT=""',), "joe@example.org"),
        ((':allow,RBLSMTPD="go away"',), "ann@example.net"),
        ((":allow",), "postmaster"),
        ((":allow",), "ann@[192.0.2.1]"),
        ((":allow",), "ann@[192.0.2.2]"),
    ],
)
async def test_a_session_is_told_the_same(
    http: httpx.AsyncClient, smtpd: Smtpd, rules: tuple[str, ...], recipient: str
) -> None:
    await smtpd.set(tcprules=rules, localips="192.0.2.1", localiphost="example.net")
    found = await asked(http, "127.0.0.1", sender="joe@example.org", recipient=recipient)
    first = next((said["reply"] for said in found["policies"] if said["reply"]), "250 ok")
    async with connected(smtpd.ports["smtp"]) as client:
        said = await client.ask("MAIL FROM:<joe@example.org>", f"RCPT TO:<{recipient}>")
    assert said == first
    assert found["accepted"] == (said == "250 ok")


@pytest.mark.parametrize(
    ("settings", "sender", "listed", "reply"),
    [
        ({}, "joe@gone.example", False, "250 ok"),
        ({"rbl": "bl.example"}, "joe@there.example", False, "451 seen"),
        ({"rbl": "bl.example"}, "joe@there.example", True, "250 ok"),
        ({"rbl": "bl.example", "tcprules": ':allow,RBLSMTPD=""'}, "joe@there.example", False,
         "250 ok"),
        ({"rbl": "other.example", "helocheck": "."}, "joe@there.example", False, "250 ok"),
        ({"mfdnscheck": "1"}, "joe@gone.example", False,
         "553 sorry, your envelope sender domain must exist (#5.1.8)"),
        ({"badmailfrom": "@gone.example+"}, "joe@gone.example", False,
         "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"),
    ],
)  # fmt: skip
async def test_a_session_is_told_the_same_of_what_dns_says(
    bus: NatsBus, settings: dict[str, str], sender: str, listed: bool, reply: str
) -> None:
    """But for HELO, which it does not know."""
    async with (
        serving_dns(ZONE) as dns,
        running(bus, dns=DnsClient(["127.0.0.1"], port=dns.port)) as smtpd,
        answering(smtpd, smtpd.lookups) as http,
    ):
        await smtpd.add_accounts("ann@example.net")
        await smtpd.set(**settings)
        if listed:
            await smtpd.relay_list.add("127.0.0.1", user="bob@example.net", window=9, by="test")
        found = await asked(http, "127.0.0.1", sender=sender, recipient="ann@example.net")
        first = next((said["reply"] for said in found["policies"] if said["reply"]), "250 ok")
        assert first == reply
        assert found["sentence"].endswith(reply) == (reply != "250 ok")
        async with connected(smtpd.ports["smtp"]) as client:
            helo, mail, rcpt = (
                "HELO a.example",
                f"MAIL FROM:<{sender}>",
                "RCPT TO:<ann@example.net>",
            )
            assert await client.ask(helo, mail, rcpt) == reply


@pytest.mark.parametrize(
    "params",
    [{}, {"ip": "192.0.2"}, {"ip": CLIENT, "recipient": "joe"}, {"ip": CLIENT, "sender": "joe"},
     {"ip": CLIENT, "user": "joe"}, {"ip": ""}],
)  # fmt: skip
async def test_bad_input_is_a_problem(http: httpx.AsyncClient, params: dict[str, str]) -> None:
    answer = await http.get("/v1/smtp/check", params=params)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_it_wants_the_token(http: httpx.AsyncClient) -> None:
    params = {"ip": CLIENT}
    answer = await http.get("/v1/smtp/check", params=params, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 401
