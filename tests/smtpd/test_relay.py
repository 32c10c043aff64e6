"""The relay list as a session uses it, and the words a client is refused with."""

import asyncio
import time

import pytest

from tests.smtpd.client import Client, connected
from tests.smtpd.running import Smtpd
from tubepost.relay_list import RelayList

US = "127.0.0.1"
TO_JOE = ("MAIL FROM:<bob@example.net>", "RCPT TO:<joe@example.org>")
DENIED = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"


async def said(smtpd: Smtpd) -> str:
    """What a new session of ours hears of a recipient elsewhere."""
    async with connected(smtpd.ports["smtp"]) as client:
        return await client.ask(*TO_JOE)


async def listed(smtpd: Smtpd, *, ago: float = 0) -> None:
    """bob logged in from our address, `ago` seconds ago; the relay is open for 900 s."""
    relay_list = RelayList(smtpd.bus, lambda: time.time() - ago)
    await relay_list.add(US, user="bob@example.net", window=900, by="pop-1")


async def test_a_login_opens_it_within_a_session_and_its_end_closes_it(smtpd: Smtpd) -> None:
    """The reader is warm: it has answered from both before."""
    async with connected(smtpd.ports["smtp"]) as client:
        assert await client.ask(*TO_JOE) == DENIED
        await listed(smtpd)
        assert await client.ask(TO_JOE[1]) == "250 ok"
        await listed(smtpd, ago=901)
        assert await client.ask("RCPT TO:<eve@example.org>") == DENIED


async def test_who_logged_in_stands_in_received_and_in_the_event(smtpd: Smtpd) -> None:
    await listed(smtpd)
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("HELO pc", *TO_JOE)
        assert (await client.ask("DATA", "Subject: x\r\n\r\nx\r\n.")).startswith("250 ok ")
    _, field, _ = await smtpd.only_mail()
    assert b"(HELO pc) (bob@example.net@127.0.0.1)" in field
    assert [event["user"] for event in smtpd.told.events] == ["bob@example.net"]


async def test_a_static_deny_wins_over_the_list(smtpd: Smtpd) -> None:
    await listed(smtpd)
    await smtpd.set(tcprules="127.:deny")
    reader, writer = await asyncio.open_connection(US, smtpd.ports["smtp"])
    client = Client(reader, writer)
    assert await client.reply() == "554 sorry, your address is not allowed here (#5.7.1)"
    assert await client.is_closed()
    writer.close()
    await writer.wait_closed()


async def test_rblsmtpd_of_a_rule_is_passed_over_for_who_is_listed(smtpd: Smtpd) -> None:
    await smtpd.set(tcprules=':allow,RBLSMTPD="blocked"')
    assert await said(smtpd) == "451 blocked"
    await listed(smtpd)
    assert await said(smtpd) == "250 ok"


@pytest.mark.parametrize("setting", ["proxynetworks", "clusternetworks"])
async def test_a_proxy_or_a_node_does_not_use_the_list(smtpd: Smtpd, setting: str) -> None:
    """However it came onto it: all that stand behind it would relay."""
    await listed(smtpd)
    assert await said(smtpd) == "250 ok"
    await smtpd.set(**{setting: "127.0.0.0/8"})
    assert await said(smtpd) == DENIED
    await smtpd.set(relaynetworks="127.0.0.1")
    allowed_by_name = setting == "clusternetworks"  # a balancer's own address never relays
    assert await said(smtpd) == ("250 ok" if allowed_by_name else DENIED)


async def test_the_operator_s_words(smtpd: Smtpd) -> None:
    await smtpd.set(
        relaydenied="sorry, {domain} isn't allowed to be relayed thru this MTA (#5.7.1)"
    )
    assert await said(smtpd) == (
        "553 sorry, example.org isn't allowed to be relayed thru this MTA (#5.7.1)"
    )
    await smtpd.set(relaydenied="{client}: log in to send to {recipient}")
    assert await said(smtpd) == "553 127.0.0.1: log in to send to joe@example.org (#5.7.1)"
    await smtpd.set(relaydenied=())
    assert await said(smtpd) == DENIED
