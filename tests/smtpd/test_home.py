"""Recipients that name the host itself: where their mail goes."""

from tests.smtpd.client import connected
from tests.smtpd.running import Smtpd


async def test_postmaster_is_whoever_gets_double_bounces(smtpd: Smtpd) -> None:
    await smtpd.set(doublebounceto="ops", doublebouncehost="operator.example")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail("Postmaster")
        await client.ask("hi\r\n.")
    record, _, _ = await smtpd.only_mail()
    assert (record.waiting, record.destination) == (("ops@operator.example",), "operator.example")


async def test_postmaster_without_a_mailbox_of_ours_is_said_so(smtpd: Smtpd) -> None:
    await smtpd.set(doublebounceto="nobody", doublebouncehost="example.net")
    async with connected(smtpd.ports["smtp"]) as client:
        reply = await client.ask("MAIL FROM:<joe@example.org>", "RCPT TO:<postmaster>")
    assert reply == "550 sorry, no mailbox here by that name (#5.1.1)"


async def test_a_literal_of_ours_is_me_unless_localiphost_is_set(smtpd: Smtpd) -> None:
    await smtpd.set(localips="192.0.2.1", me="example.net")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail("Ann@[192.0.2.1]")
        await client.ask("hi\r\n.")
    record, _, _ = await smtpd.only_mail()
    assert (record.waiting, record.channel) == (("Ann@example.net",), "local")
