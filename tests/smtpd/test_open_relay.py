"""Attack: the classic ways to make a mail server send where it should not, over a socket.

Each probe is refused, or the mail stays here. ours.example is ours, ann has the only mailbox, and
backup.example is in rcpthosts. evil.example is where a relay would send to.
"""

from itertools import product

import pytest

from tests.smtpd.client import Client, connected
from tests.smtpd.running import Smtpd
from tubepost.address import parse_address

REFUSED = [
    "<victim@evil.example>",
    "victim@evil.example",
    "<VICTIM@EVIL.EXAMPLE>",
    "<victim@evil.example.>",
    "<victim@[198.51.100.9]>",
    "<victim@[127.0.0.1]>",
    "<victim@[IPv6:::1]>",
    "<victim@[IPv6:2001:db8::9]>",
    "<ann@[ours.example]>",
    # source routes (RFC 5321 C): the last one counts, whoever stands before it
    "<@ours.example:victim@evil.example>",
    "<@ours.example,@backup.example:victim@evil.example>",
    "<@evil.example:victim@evil.example>",
    "<@ours.example:@ours.example:victim@evil.example>",
    "<@[127.0.0.1]:victim@evil.example>",
    "<@:victim@evil.example>",
    # percent hack, bang paths, and both: the local part is the mailbox's name and nothing else
    "<victim%evil.example@ours.example>",
    "<victim%evil.example@[127.0.0.1]>",
    "<victim%evil.example%ours.example@ours.example>",
    "<victim%evil.example>",
    "<evil.example!victim>",
    "<evil.example!victim@ours.example>",
    "<ours.example!evil.example!victim@ours.example>",
    "<evil.example!victim%ours.example@evil.example>",
    "<ann%ours.example@evil.example>",
    "<@ours.example:victim%evil.example@ours.example>",
    # quoted local parts
    '<"victim@evil.example"@ours.example>',
    '<"victim@evil.example">',
    '<"victim%evil.example"@ours.example>',
    '<"ann@ours.example"@evil.example>',
    '<"ann@ours.example> "@evil.example>',
    '<"ann\\"@ours.example>,<victim"@evil.example>',
    '<"victim@evil.example@ours.example">',
    # several at signs, brackets, lists of addresses
    "<victim@evil.example@ours.example>",
    "<ann@ours.example@evil.example>",
    "<victim@evil.example,ann@ours.example>",
    "<ann@ours.example,victim@evil.example>",
    "<ann@ours.example;victim@evil.example>",
    "<ann@ours.example:victim@evil.example>",
    "<<victim@evil.example>>",
    "<<ann@ours.example>@evil.example>",
    "ann@ours.example@evil.example",
    # a domain that only looks like ours
    "<ann@ours.example.evil.example>",
    "<ann@sub.ours.example>",
    "<ann@.ours.example>",
    "<ann@ours.example..>",
    "<ann@notours.example>",
    "<ann@ours.example%00.evil.example>",
    "<ann@ours.example\0.evil.example>",
    "<ann@ours.example\0>",
    "<victim@evil.example\0@ours.example>",
    "<ann@ours\u3002example>",
    "<ann@\u043eurs.example>",
    "<ann@\uff4furs.example>",
    "<ann@ours\u2024example>",
    "<victim\uff20evil.example@ours.example>",
    "<ann@ours.example\u200b>",
    "<ann@xn--urs-5cd.example>",
    "<ann@ours.example\t@evil.example>",
    "<ann@ours.example @evil.example>",
    "<ann@ours.example(@evil.example)>",
    "<ann(comment)@evil.example>",
    "<ann@backup.example.evil.example>",
    # no domain at all
    "<victim>",
    "<@evil.example>",
    "<>",
    "<@>",
    "<.>",
    "<ann@>",
]
STAYS = {
    "<ann@ours.example>": "ann@ours.example",
    "ann@ours.example": "ann@ours.example",
    "<ANN@OURS.Example>": "ANN@ours.example",
    "<ann@ours.example.>": "ann@ours.example",
    '<"ann"@ours.example>': "ann@ours.example",
    "<@evil.example:ann@ours.example>": "ann@ours.example",
    "<victim%evil.example@backup.example>": "victim%evil.example@backup.example",
    '<"victim@evil.example"@backup.example>': '"victim@evil.example"@backup.example',
    "<evil.example!victim@backup.example>": "evil.example!victim@backup.example",
    "<ann@ours.example> RELAY=evil.example": "",
    "<ann@ours.example><victim@evil.example>": "",
}

SENDERS = [
    "<joe@example.org>",
    "<>",
    "<ann@ours.example>",
    "<spam@[127.0.0.1]>",
    "<spam@localhost>",
]
HELOS = ["EHLO client.example", "HELO ours.example", "EHLO localhost", "EHLO [127.0.0.1]"]


@pytest.fixture
async def ours(smtpd: Smtpd) -> Smtpd:
    """As it stands in the head of this file."""
    await smtpd.set(rcpthosts="backup.example")
    await smtpd.add_accounts("ann@ours.example")
    return smtpd


async def probe(client: Client, recipient: str, sender: str = SENDERS[0]) -> str:
    """The reply to RCPT in a transaction of its own."""
    assert (await client.ask("RSET")).startswith("250 ")
    assert (await client.ask(f"MAIL FROM:{sender}")).startswith("250 ")
    return await client.ask(f"RCPT TO:{recipient}")


async def sessions_of(smtpd: Smtpd, probes: list[str]) -> dict[str, str]:
    """Probe -> reply; a session for each, so that no limit of errors answers instead."""
    replies = {}
    for recipient in probes:
        async with connected(smtpd.ports["smtp"]) as client:
            await client.ask(HELOS[0])
            replies[recipient] = await probe(client, recipient)
    return replies


async def test_no_probe_is_taken(ours: Smtpd) -> None:
    replies = await sessions_of(ours, REFUSED)
    assert len(replies) == len(REFUSED)
    assert {probe: said for probe, said in replies.items() if said[:1] != "5"} == {}


async def test_what_is_taken_stays_here(ours: Smtpd) -> None:
    """The queue holds exactly those addresses, each in a domain mail is taken for."""
    taken = []
    for recipient, address in STAYS.items():
        async with connected(ours.ports["smtp"]) as client:
            said = await probe(client, recipient)
            assert said.startswith("250 " if address else "5"), recipient
            if address:
                assert (await client.ask("DATA", "Subject: x\r\n\r\nx\r\n.")).startswith("250 ok ")
                taken.append(address)
    queued = [address for record, _ in await ours.mails() for address in record.waiting]
    assert sorted(queued) == sorted(taken)
    assert {parse_address(a).domain for a in queued} == {"ours.example", "backup.example"}


@pytest.mark.parametrize("listener", ["smtp", "submission"])
async def test_no_name_and_no_sender_opens_it(ours: Smtpd, listener: str) -> None:
    """Whoever the client says it is."""
    for helo, sender in product(HELOS, SENDERS):
        async with connected(ours.ports[listener]) as client:
            await client.ask(helo, f"MAIL FROM:{sender}")
            said = await client.ask("RCPT TO:<victim@evil.example>")
            assert said[:1] == "5", (helo, sender)


async def test_a_recipient_of_ours_does_not_open_it_for_the_next(ours: Smtpd) -> None:
    async with connected(ours.ports["smtp"]) as client:
        assert await probe(client, "<ann@ours.example>") == "250 ok"
        assert (await client.ask("RCPT TO:<victim@evil.example>"))[:3] == "553"
        assert (await client.ask("RCPT TO:<joe@backup.example>")) == "250 ok"
        assert (await client.ask("RCPT TO:<@ours.example:victim@evil.example>"))[:3] == "553"
        assert (await client.ask("DATA", "x\r\n.")).startswith("250 ok ")
    assert [event["recipients"] for event in ours.told.events] == [
        ("ann@ours.example", "joe@backup.example")
    ]


async def test_pipelined_data_after_refused_recipients_sends_nothing(ours: Smtpd) -> None:
    async with connected(ours.ports["smtp"]) as client:
        await client.say(
            b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<victim@evil.example>\r\nDATA\r\n"
            b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"
        )
        said = [await client.reply() for _ in range(3)]
    assert [reply[:3] for reply in said] == ["250", "553", "503"]
    assert await ours.mails() == []


async def test_without_any_setting_only_mailboxes_get_mail(smtpd: Smtpd) -> None:
    """`rcpthosts` missing = nobody."""
    for recipient in (
        "<joe@backup.example>",
        "<victim@evil.example>",
        "<x@localhost>",
        "<x@mail.example>",
    ):
        async with connected(smtpd.ports["smtp"]) as client:
            assert (await probe(client, recipient))[:3] == "553"
