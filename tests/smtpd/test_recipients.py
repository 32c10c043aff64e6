"""Recipients of ours at RCPT: what their addresses stand for; and their way into a Maildir."""

from pathlib import Path

import httpx
import pytest

from services.local.courier import LocalCourier
from services.local.forwarding import Forwarding
from services.local.writer import Writer
from services.smtpd import check, why
from tests.fakes import FakeClock
from tests.smtpd.client import connected
from tests.smtpd.running import SHARDS, Smtpd
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.admin import Health, create_app
from tubepost.delivery import Mail
from tubepost.directory_values import (
    DELETE,
    HOLD,
    LOCKED,
    MEMBERS,
    MODERATORS,
    Account,
    Alias,
    Domain,
    Entry,
    MailingList,
    account_key,
    domain_key,
    domain_value,
    entry_value,
)
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.outcome import Delivered
from tubepost.quota import Quota
from tubepost.resolution import Rule
from tubepost.resolver import Resolver
from tubepost.subjects import Key
from tubepost.tasks import background

NOBODY = "550 sorry, no mailbox here by that name (#5.1.1)"
NOT_ALLOWED = "550 sorry, you may not write to this list (#5.7.2)"
NO_REPORTS = "550 sorry, a list takes no reports (#5.7.2)"
LATER = "451 unable to check this recipient now (#4.3.0)"
OK = "250 ok"


async def put(smtpd: Smtpd, *things: Domain | Entry) -> None:
    bucket = Bucket(smtpd.bus, subjects.DIRECTORY)
    for thing in things:
        if isinstance(thing, Domain):
            key, value = domain_key(thing.name), domain_value(thing)
        else:
            key, value = account_key(parse_address(thing.address)), entry_value(thing)
        await smtpd.directory.seen(key, await bucket.put(key, value))


def account(name: str, *flags: str, **fields: object) -> Account:
    return Account(f"{name}@o.example", f"o/{name}", "hash", frozenset(flags), **fields)  # type: ignore[arg-type]


@pytest.fixture
async def ours(smtpd: Smtpd) -> Smtpd:
    """o.example with one of each kind; o2.example is another name of it."""
    members, moderators = ("Bob@far.example",), ("ann@o.example",)
    await put(
        smtpd,
        Domain("o.example"),
        Domain("o2.example", alias_of="o.example"),
        Domain("held.example", hold=True),
        Domain("catch.example", unknown="joe@o.example"),
        Domain("drop.example", unknown=DELETE),
        account("joe"),
        account("closed", LOCKED),
        account("held", HOLD),
        account("away", forward=("joe@far.example",), keep=False, quota=Quota(1)),
        account("copy", forward=("joe@far.example",), quota=Quota(1)),
        Alias("sales@o.example", ("joe@o.example",)),
        Alias("x-default@o.example", ("joe@o.example",)),
        MailingList("open@o.example", "kim@far.example"),
        MailingList("closed-list@o.example", "kim@far.example", members, MEMBERS, moderators),
        MailingList("news@o.example", "kim@far.example", members, MODERATORS, moderators),
    )
    return smtpd


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("joe@o.example", OK),
        ("Joe@O2.example", OK),
        ("joe-x@o.example", OK),
        ("joe+x@o2.example", OK),
        ("x-y@o.example", OK),
        ("x@o.example", NOBODY),
        ("who@o.example", NOBODY),
        ("who@o2.example", NOBODY),
        ("sales@o.example", OK),
        ("away@o.example", OK),  # nothing is stored: its quota does not count
        ("copy@o.example", LATER),  # no local that could say how full it is
        ("closed@o.example", "550 account is locked (#5.2.1)"),
        ("closed-x@o.example", "550 account is locked (#5.2.1)"),
        ("held@o.example", OK),
        ("who@held.example", OK),
        ("who@catch.example", OK),
        ("who@drop.example", OK),
        ("open@o.example", OK),
        ("closed-list@o.example", NOT_ALLOWED),
        ("news@o2.example", NOT_ALLOWED),
        ("news-owner@o.example", OK),
        ("news-request@o.example", OK),
        ("news-return-bob=far.example@o.example", OK),
    ],
)
async def test_what_is_said_of_a_recipient(ours: Smtpd, recipient: str, reply: str) -> None:
    async with connected(ours.ports["smtp"]) as client:
        said = await client.ask("MAIL FROM:<who@far.example>", f"RCPT TO:<{recipient}>")
    assert said == reply


@pytest.mark.parametrize(
    ("sender", "replies"),
    [
        ("", [NO_REPORTS, NO_REPORTS, NO_REPORTS, OK]),
        ("who@far.example", [OK, NOT_ALLOWED, NOT_ALLOWED, OK]),
        ("bob@FAR.example", [OK, OK, NOT_ALLOWED, OK]),
        ("bob@far.example-@[]", [OK, OK, NOT_ALLOWED, OK]),
        ("ANN@o.example", [OK, OK, OK, OK]),
    ],
)
async def test_who_may_write_to_a_list(ours: Smtpd, sender: str, replies: list[str]) -> None:
    names = ("open", "closed-list", "news", "news-owner")
    async with connected(ours.ports["smtp"]) as client:
        await client.ask(f"MAIL FROM:<{sender}>")
        said = [await client.ask(f"RCPT TO:<{name}@o.example>") for name in names]
    assert said == replies


async def test_a_change_counts_for_the_next_command(ours: Smtpd) -> None:
    async with connected(ours.ports["smtp"]) as client:
        assert await client.ask("MAIL FROM:<a@far.example>", "RCPT TO:<new@o.example>") == NOBODY
        await put(ours, Alias("new@o.example", ("joe@o.example",)))
        assert await client.ask("RCPT TO:<new@o.example>") == OK


async def test_a_full_domain_is_full_for_all_that_is_stored_in_it(ours: Smtpd) -> None:
    async def answer(_subject: str, data: bytes) -> bytes:
        assert data == b"joe@o.example"
        return b'{"used": 5, "mails": 1, "domain": {"used": 90, "mails": 9}}'

    await ours.bus.answer(subjects.QUOTA_ROOM, answer, group="local")
    await put(ours, Domain("o.example", quota=Quota(100)))
    async with connected(ours.ports["smtp"]) as client:
        await client.ask("MAIL FROM:<a@far.example> SIZE=11")
        full = "452 domain is over quota (#4.2.2)"
        assert await client.ask("RCPT TO:<joe@o.example>") == full
        assert await client.ask("RCPT TO:<joe-x@o2.example>") == full
        assert await client.ask("RCPT TO:<sales@o.example>") == OK
        await client.ask("RSET", "MAIL FROM:<a@far.example> SIZE=10")
        assert await client.ask("RCPT TO:<joe-x@o2.example>") == OK


async def test_mail_for_another_name_of_a_domain_lies_in_the_mailbox(
    ours: Smtpd, tmp_path: Path
) -> None:
    async with connected(ours.ports["smtp"]) as client:
        await client.ask("MAIL FROM:<kim@far.example>")
        assert await client.ask("RCPT TO:<joe@o2.example>") == OK
        assert await client.ask("RCPT TO:<joe-x@o2.example>") == OK
        assert (await client.ask("DATA", "Subject: x\r\n\r\nHi.\r\n.")).startswith("250 ok ")
    [(record, body)] = await ours.mails()
    assert record.channel == "local"
    to = tuple(recipient.address for recipient in record.recipients)
    mail = Mail(Key(0, "m1", "0"), record.sender, to, record.destination, body, 1, record.created)
    writer = Writer(tmp_path)
    async with background(writer.run()):
        resolver = Resolver(ours.directory, ours.control)
        store = MailStore(ours.bus, SHARDS)
        forwarding = Forwarding(store, ours.directory, ours.control, FakeClock())
        courier = LocalCourier(resolver, tmp_path, writer, forwarding)
        outcomes = await courier.deliver(mail)
    assert [type(outcome) for outcome in outcomes.values()] == [Delivered, Delivered]
    [stored] = [path.read_text() for path in (tmp_path / "o/joe/Maildir/new").iterdir()]
    top = ["Return-Path: <kim@far.example>", "Delivered-To: joe@o.example"]
    assert stored.splitlines()[:2] == top


@pytest.mark.parametrize(
    ("recipient", "rule", "end"),
    [
        ("joe@o2.example", Rule.ACCOUNT, "the mailbox exists"),
        ("joe-x@o.example", Rule.EXTENSION, "it is an extension of an address that exists"),
        ("sales@o.example", Rule.ALIAS, "the address is an alias"),
        ("closed@o.example", Rule.LOCKED, "RCPT: 550 account is locked (#5.2.1)"),
        ("news@o.example", Rule.LIST, f"RCPT: {NOT_ALLOWED}"),
        ("who@o.example", Rule.NOBODY, f"RCPT: {NOBODY}"),
    ],
)
async def test_check_says_which_rule_it_is(
    ours: Smtpd, recipient: str, rule: Rule, end: str
) -> None:
    app = create_app(Health(), "t")
    app.include_router(check.router(ours.gather))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://smtpd/v1",
        headers={"Authorization": "Bearer t"},
    ) as http:
        asked = {"ip": "192.0.2.1", "sender": "who@far.example", "recipient": recipient}
        found = (await http.get("/smtp/check", params=asked)).json()
    assert found["recipient"]["rule"] == rule
    assert found["sentence"].endswith(end)


def test_there_are_words_for_every_rule_by_which_mail_is_taken() -> None:
    assert set(why.TAKEN) == set(Rule) - {Rule.NOBODY, Rule.LOCKED}
