"""SMTPUTF8 taken (RFC 6531): what lies in the queue, and who gets it."""

from tests.smtpd.client import connected
from tests.smtpd.running import Smtpd

ASKED = "MAIL FROM:<josé@Müller.example> SMTPUTF8"


async def test_the_record_says_so_and_its_domains_are_a_labels(smtpd: Smtpd) -> None:
    await smtpd.set(rcpthosts="xn--bcher-kva.example")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("EHLO client.example", ASKED)
        await client.ask("RCPT TO:<Zoë@BÜCHER.example> ORCPT=utf-8;zoë@old.example", "DATA")
        await client.ask("Subject: Grüße\r\n\r\nhi\r\n.")
    record, field, body = await smtpd.only_mail()
    assert record.smtputf8
    assert record.sender == "josé@xn--mller-kva.example"
    assert record.waiting == ("Zoë@xn--bcher-kva.example",)
    assert record.destination == "xn--bcher-kva.example"
    assert record.recipients[0].orcpt == r"utf-8;zo\x{EB}@old.example"
    assert b" with UTF8SMTP id " in field
    assert body.decode().startswith("Subject: Grüße\r\n")


async def test_a_mail_for_several_destinations_keeps_the_mark(smtpd: Smtpd) -> None:
    await smtpd.set(rcpthosts="xn--bcher-kva.example")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("EHLO client.example", ASKED)
        await client.ask("RCPT TO:<zoë@bücher.example>", "RCPT TO:<ann@example.net>", "DATA")
        await client.ask("hi\r\n.")
    [(record, _)] = await smtpd.mails()
    assert (record.count, record.smtputf8) == (2, True)


async def test_a_domain_of_ours_is_known_by_both_its_names(smtpd: Smtpd) -> None:
    await smtpd.add_accounts("ann@xn--bcher-kva.example")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("EHLO client.example", ASKED)
        assert await client.ask("RCPT TO:<ann@bücher.example>") == "250 2.1.5 ok"
        assert await client.ask("RCPT TO:<ann@xn--bcher-kva.example>") == "250 2.1.5 ok"


async def test_a_mail_that_did_not_ask_is_not_marked(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask(ASKED)
        await client.begin_mail()
        await client.ask("Subject: Grüße\r\n\r\nhi\r\n.")
    record, field, _ = await smtpd.only_mail()
    assert not record.smtputf8
    assert b" with SMTP id " in field
