"""A mailbox without room, with a real Maildir behind it, and with local away."""

from pathlib import Path

import pytest

from services.local.quotas import Quotas
from services.local.room import Room
from services.local.writer import Writer
from tests.smtpd.client import Client, connected
from tests.smtpd.running import Smtpd
from tubepost import subjects
from tubepost.quota import ANY, Quota
from tubepost.tasks import background

FULL = "452 user is over quota (#4.2.2)"
LATER = "451 unable to check this recipient now (#4.3.0)"


async def rcpt(client: Client, size: int, address: str = "joe@example.net") -> str:
    await client.ask("RSET")
    return await client.ask(f"MAIL FROM:<x@example.org> SIZE={size}", f"RCPT TO:<{address}>")


async def local_answers(smtpd: Smtpd, mail_root: Path) -> Quotas:
    """As services/local/app.py has it."""
    writer = Writer(mail_root)
    quotas = Quotas(smtpd.bus, smtpd.directory, smtpd.control, mail_root, writer.put)
    room = Room(smtpd.directory, mail_root, quotas)
    await smtpd.bus.answer(subjects.QUOTA_ROOM, room.answer, group="local")
    return quotas


async def test_what_lies_in_the_maildir_counts(smtpd: Smtpd, tmp_path: Path) -> None:
    await smtpd.add_quota("joe@example.net", Quota(1000))
    await local_answers(smtpd, tmp_path)
    new = tmp_path / "joe@example.net/home/Maildir/new"
    new.mkdir(parents=True)
    async with connected(smtpd.ports["smtp"]) as client:
        assert await rcpt(client, 1000) == "250 ok"
        assert await rcpt(client, 1001) == FULL
        (new / "1.a,S=600").touch()
        (new.parent / "maildirsize").unlink()
        assert await rcpt(client, 400) == "250 ok"
        assert await rcpt(client, 401) == FULL
        await smtpd.add_quota("joe@example.net", ANY)
        assert await rcpt(client, 401) == "250 ok"


async def test_the_number_of_mails_and_the_domain_count(smtpd: Smtpd, tmp_path: Path) -> None:
    quotas = await local_answers(smtpd, tmp_path)
    await smtpd.add_quota("joe@example.net", Quota(0, 1))
    new = tmp_path / "joe@example.net/home/Maildir/new"
    new.mkdir(parents=True)
    async with background(quotas.run()), connected(smtpd.ports["smtp"]) as client:
        assert await rcpt(client, 600) == "250 ok"
        (new / "1.a,S=600").touch()
        (new.parent / "maildirsize").unlink()
        assert await rcpt(client, 600) == FULL
        await smtpd.add_quota("joe@example.net", ANY)
        await smtpd.add_domain("example.net", Quota(1000))
        assert await rcpt(client, 401) == "250 ok", "not counted yet: the delivery decides"
        await quotas._counts.ask("example.net")
        assert await rcpt(client, 400) == "250 ok"
        assert await rcpt(client, 401) == FULL.replace("user", "domain")


async def test_without_local_only_those_with_a_quota_wait(smtpd: Smtpd) -> None:
    await smtpd.add_quota("joe@example.net", Quota(1000))
    async with connected(smtpd.ports["smtp"]) as client:
        assert await rcpt(client, 1) == LATER
        assert await rcpt(client, 1, "ann@example.net") == "250 ok"


@pytest.mark.parametrize("overquota", ["defer", "refuse"])
async def test_a_local_that_cannot_read_is_never_a_refusal(smtpd: Smtpd, overquota: str) -> None:
    async def cannot(_subject: str, _data: bytes) -> bytes:
        return b"{}"

    await smtpd.set(overquota=overquota)
    await smtpd.add_quota("joe@example.net", Quota(1000))
    await smtpd.bus.answer(subjects.QUOTA_ROOM, cannot, group="local")
    async with connected(smtpd.ports["smtp"]) as client:
        assert await rcpt(client, 1) == LATER
