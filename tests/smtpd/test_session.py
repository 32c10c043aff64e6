"""Sessions on a socket over a real bus: what lies in the queue, and what ends a session."""

import asyncio
import re
from dataclasses import replace

import pytest

from tests.smtpd.client import connected
from tests.smtpd.running import PATIENCE, Smtpd
from tubepost import metrics, smtp_values
from tubepost.control import Control
from tubepost.record import INLINE_LIMIT, State
from tubepost.setting import Setting, T

OCTETS = bytes(n for n in range(256) if n not in b"\r\n\0")
BODIES = {
    "empty": b"",
    "one line": b"hello\r\n",
    "8 bit": b"Subject: x\r\n\r\n" + OCTETS + b"\r\n",
    "dots": b".\r\n..\r\n.a\r\n\r\n.\r\n",
    "long lines": b"x" * 5000 + b"\r\n" + b"." * 5000 + b"\r\n",
    "blank lines": b"\r\n" * 50,
    "in chunks": b"\r\n" + (OCTETS * 4 + b"\r\n") * (INLINE_LIMIT // 1000),
}


def on_the_wire(body: bytes) -> bytes:
    """With stuffed dots and the end."""
    lines = body.split(b"\r\n")
    return b"\r\n".join(b"." + line if line[:1] == b"." else line for line in lines) + b".\r\n"


@pytest.mark.parametrize("name", BODIES)
async def test_the_body_in_the_queue_is_the_one_that_was_sent(smtpd: Smtpd, name: str) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        sent = on_the_wire(BODIES[name])
        for start in range(0, len(sent), 999):
            await client.say(sent[start : start + 999])
        reply = await client.reply()
    assert reply.startswith("250 ok ")
    record, field, body = await smtpd.only_mail()
    assert body == BODIES[name]
    assert record.size == len(field) + len(body)
    assert record.inline == (record.size <= INLINE_LIMIT)


async def test_record_and_received_field(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("EHLO client.example")
        await client.begin_mail("Ann@example.net")
        reply = await client.ask("Subject: x\r\n\r\nhi\r\n.")
    found = re.fullmatch(r"250 2\.0\.0 ok (\d+) qp ([0-9a-f]{23})", reply)
    assert found
    record, field, _ = await smtpd.only_mail()
    assert field.startswith(
        b"Received: from unknown (HELO client.example) (127.0.0.1)\r\n"
        b"  by mail.example with ESMTP id " + found[2].encode() + b"; "
    )
    assert record.sender == "joe@example.org"
    assert record.waiting == ("Ann@example.net",)
    assert (record.channel, record.destination) == ("local", "example.net")
    assert int(record.created) == int(found[1])
    assert record.next_attempt == record.created


async def test_recipients_with_several_destinations_are_one_mail_to_split(smtpd: Smtpd) -> None:
    await smtpd.set(rcpthosts="example.com")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("MAIL FROM:<>", "RCPT TO:<ann@example.net>", "RCPT TO:<joe@example.com>")
        assert await client.ask("DATA") == "354 go ahead"
        assert (await client.ask("hi\r\n.")).startswith("250 ok ")
    [(record, _)] = await smtpd.mails()
    assert (record.state, record.count, record.sender) == (State.SPLIT, 2, "")


@pytest.mark.parametrize(
    ("helo", "shown"),
    [
        ("x) (by evil", "x???by?evil"),
        ("a\x7f\tReceived: b", "a??Received:?b"),
    ],
)
async def test_a_greeting_injects_nothing_into_the_header(
    smtpd: Smtpd, helo: str, shown: str
) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask(f"EHLO {helo}")
        await client.begin_mail()
        assert (await client.ask("hi\r\n.")).startswith("250 2.0.0 ok ")
    _, field, body = await smtpd.only_mail()
    assert f" (HELO {shown}) ".encode() in field
    assert body == b"hi\r\n"


async def test_a_client_that_hangs_up_in_data_leaves_nothing(smtpd: Smtpd) -> None:
    listener = smtpd.listeners["smtp"]
    for said in (b"", b"Subject: x\r\n\r\nhalf a li", b"all but the end\r\n.\r"):
        listener.emptied.clear()
        async with connected(smtpd.ports["smtp"]) as client:
            await client.begin_mail()
            await client.say(said)
        await asyncio.wait_for(listener.emptied.wait(), PATIENCE)
    assert await smtpd.mails() == []


async def test_an_idle_session_is_told_that_we_end(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("MAIL FROM:<joe@example.org>")
        await smtpd.listeners["smtp"].drain(PATIENCE)
        assert await client.reply() == "421 shutting down, try again (#4.3.2)"
        assert await client.is_closed()
    assert not smtpd.listeners["smtp"].sessions


async def test_a_mail_being_taken_is_taken_to_its_end(smtpd: Smtpd) -> None:
    listener = smtpd.listeners["smtp"]
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        await client.say(b"first half\r\n")
        draining = asyncio.create_task(listener.drain(PATIENCE))
        await asyncio.sleep(0)
        assert listener.draining
        await client.say(b"second half\r\n.\r\n")
        assert (await client.reply()).startswith("250 ok ")
        assert await client.reply() == "421 shutting down, try again (#4.3.2)"
        assert await client.is_closed()
        await draining
    _, _, body = await smtpd.only_mail()
    assert body == b"first half\r\nsecond half\r\n"


async def test_draining_does_not_wait_for_ever(smtpd: Smtpd) -> None:
    listener = smtpd.listeners["smtp"]
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        await listener.drain(0.01)
        assert len(listener.sessions) == 1


async def test_a_silent_client_is_cut_off(smtpd: Smtpd) -> None:
    await smtpd.set(timeoutsmtpd="1")
    async with connected(smtpd.ports["smtp"]) as idle, connected(smtpd.ports["smtp"]) as in_data:
        await in_data.begin_mail()
        await in_data.say(b"half a mail")
        for client in (idle, in_data):
            assert await client.reply() == "451 timeout (#4.4.2)"
            assert await client.is_closed()
    assert await smtpd.mails() == []


class BrokenControl(Control):
    """A bug of ours: reading one setting fails."""

    def get(self, setting: Setting[T]) -> T:
        if setting is smtp_values.BADMAILFROM:
            raise RuntimeError("the inside of the service")
        return super().get(setting)


async def test_a_bug_is_temporary_and_shows_nothing(smtpd: Smtpd) -> None:
    listener = smtpd.listeners["smtp"]
    whole = listener.parts
    broken = replace(whole.gather, control=BrokenControl(smtpd.bus, "mail.example"))
    listener.parts = replace(whole, gather=broken)
    bugs = metrics.BUGS._value.get()
    async with connected(smtpd.ports["smtp"]) as client:
        reply = await client.ask("MAIL FROM:<joe@example.org>", "RCPT TO:<ann@example.net>")
        assert reply == "451 internal error (#4.3.0)"
        assert metrics.BUGS._value.get() == bugs + 1
        listener.parts = whole
        await client.begin_mail()
        assert (await client.ask(".")).startswith("250 ok ")


async def test_settings_act_on_the_next_command(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("MAIL FROM:<joe@example.org>")
        assert (await client.ask("RCPT TO:<a@example.com>")).startswith("553 ")
        await smtpd.set(rcpthosts="example.com")
        assert await client.ask("RCPT TO:<a@example.com>") == "250 ok"
        assert (await client.ask("RCPT TO:<new@example.net>")).startswith("550 ")
        await smtpd.add_accounts("new@example.net")
        assert await client.ask("RCPT TO:<new@example.net>") == "250 ok"


async def test_a_client_that_has_said_all_still_hears_its_replies(smtpd: Smtpd) -> None:
    """`printf ... | nc host 25`: the writing half is closed, the reading half is not."""
    async with connected(smtpd.ports["smtp"]) as client:
        await client.say(
            b"MAIL FROM:<>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"
        )
        client.end()
        replies = [await client.reply() for _ in range(5)]
    assert [reply[:3] for reply in replies] == ["250", "250", "354", "250", "221"]


async def test_what_the_sender_wants_to_be_told_lies_in_the_queue(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        reply = await client.ask(
            "EHLO client.example",
            "MAIL FROM:<list-@example.org-@[]> RET=hdrs ENVID=QQ+2B1",
            "RCPT TO:<ann@example.net> NOTIFY=success,DELAY ORCPT=rfc822;Ann@old.example",
            "DATA",
            "Subject: x\r\n\r\nhi\r\n.",
        )
    assert reply.startswith("250 2.0.0 ok ")
    record, _, _ = await smtpd.only_mail()
    assert (record.sender, record.ret, record.envid) == ("list-@example.org-@[]", "HDRS", "QQ+2B1")
    [ann] = record.recipients
    assert (ann.notify, ann.orcpt) == ("SUCCESS,DELAY", "rfc822;Ann@old.example")
