"""The courier: account -> Maildir, and what stops a mail for good or for now."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.local.courier import LocalCourier, stored_form
from services.local.forwarding import Forwarding
from services.local.writer import Writer
from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.control import Control
from tubepost.delivery import Mail
from tubepost.directory import Directory
from tubepost.directory_values import Account, account_key, domain_key, entry_value
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.resolver import Resolver
from tubepost.subjects import Key
from tubepost.tasks import background

BODY = b"Subject: hello\r\n\r\nHi.\r\n"
DELIVERED = Delivered(text="did_1+0+0/")


class Scene:
    """Joe and Ann have mailboxes in a mail root."""

    def __init__(self, bus: MemoryBus, root: Path) -> None:
        self.root, self.directory, self._writer = root, Directory(bus), Writer(root)
        self._bucket = Bucket(bus, subjects.DIRECTORY)
        self.control = Control(bus, "mail.example.org")
        self.resolver = Resolver(self.directory, self.control)
        store = MailStore(bus, 2)
        self.forwarding = Forwarding(store, self.directory, self.control, FakeClock())
        self.courier = LocalCourier(self.resolver, root, self._writer, self.forwarding)

    async def add(self, address: str) -> None:
        domain = domain_key(address.partition("@")[2])
        await self.directory.seen(domain, await self._bucket.put(domain, {}))
        account = Account(address, f"homes/{address}", "hash")
        key = account_key(parse_address(address))
        revision = await self._bucket.put(key, entry_value(account))
        await self.directory.seen(key, revision)

    async def deliver(
        self, *to: str, body: bytes = BODY, sender: str = "ann@far.example"
    ) -> list[Outcome]:
        mail = Mail(Key(0, "m1", "0"), sender, to, "example.org", body, 1, 1_700_000_000.0)
        found = await self.courier.deliver(mail)
        assert list(found) == list(to)
        return list(found.values())

    def mails(self, address: str) -> list[bytes]:
        return [f.read_bytes() for f in (self.root / "homes" / address).glob("Maildir/new/*")]


@pytest.fixture
async def scene(memory_bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(memory_bus, tmp_path)
    async with background(scene.directory.run(), scene._writer.run()):
        for name in ("joe", "ann"):
            await scene.add(f"{name}@example.org")
        yield scene


async def test_a_mail_is_stored_with_its_return_path_and_delivered_to(scene: Scene) -> None:
    assert await scene.deliver("joe@example.org") == [DELIVERED]
    assert scene.mails("joe@example.org") == [
        b"Return-Path: <ann@far.example>\nDelivered-To: joe@example.org\nSubject: hello\n\nHi.\n"
    ]


async def test_the_null_sender_has_an_empty_return_path(scene: Scene) -> None:
    await scene.deliver("joe@example.org", sender="")
    assert scene.mails("joe@example.org")[0].startswith(b"Return-Path: <>\n")


async def test_several_recipients_have_a_copy_and_an_outcome_each(scene: Scene) -> None:
    outcomes = await scene.deliver("joe@example.org", "nobody@example.org", "ann@example.org")
    assert [type(o) for o in outcomes] == [Delivered, Failed, Delivered]
    assert [len(scene.mails(a)) for a in ("joe@example.org", "ann@example.org")] == [1, 1]


async def test_a_mail_delivered_again_is_there_once(scene: Scene) -> None:
    await scene.deliver("joe@example.org")
    await scene.deliver("joe@example.org")
    assert len(scene.mails("joe@example.org")) == 1


async def test_the_case_of_an_address_does_not_matter(scene: Scene) -> None:
    assert await scene.deliver("JOE@example.org") == [DELIVERED]
    assert len(scene.mails("joe@example.org")) == 1


@pytest.mark.parametrize("address", ["nobody@example.org", "joe@other.example"])
async def test_a_mailbox_that_is_not_there_fails_for_good(scene: Scene, address: str) -> None:
    text = "Sorry, no mailbox here by that name. (#5.1.1)"
    assert await scene.deliver(address) == [Failed(text=text, status="5.1.1")]


async def test_a_directory_that_is_away_defers(scene: Scene, memory_bus: MemoryBus) -> None:
    memory_bus.away = True
    [outcome] = await scene.deliver("nobody@example.org")
    assert isinstance(outcome, Deferred)
    assert outcome.status == "4.3.0"


async def test_a_mail_that_has_our_delivered_to_is_looping(scene: Scene) -> None:
    body = b"Received: x\r\nDELIVERED-TO: joe@example.org\r\n" + BODY
    [outcome] = await scene.deliver("joe@example.org", body=body)
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.4.6"
    assert scene.mails("joe@example.org") == []


async def test_delivered_to_of_another_or_in_the_text_is_no_loop(scene: Scene) -> None:
    body = b"Delivered-To: ann@example.org\r\n" + BODY + b"Delivered-To: joe@example.org\r\n"
    assert await scene.deliver("joe@example.org", body=body) == [DELIVERED]


async def test_a_mail_root_that_is_not_mounted_defers_and_is_not_made(
    scene: Scene, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    writer = Writer(away)
    scene.courier = LocalCourier(scene.resolver, away, writer, scene.forwarding)
    async with background(writer.run()):
        [outcome] = await scene.deliver("joe@example.org")
    assert isinstance(outcome, Deferred)
    assert outcome.text == "The mail root is not there. (#4.3.0)"
    assert not (tmp_path / "away").exists()


async def test_a_mailbox_that_cannot_be_written_defers_its_own_recipient(scene: Scene) -> None:
    (scene.root / "homes").mkdir()
    (scene.root / "homes" / "joe@example.org").write_text("not a folder")
    outcomes = await scene.deliver("joe@example.org", "ann@example.org")
    text = (
        "Something that is no folder stands in the way: homes/joe@example.org/Maildir/tmp. (#4.3.5)"
    )
    assert outcomes == [Deferred(text=text, status="4.3.5", kind="server_trouble"), DELIVERED]


@pytest.mark.parametrize(
    ("wire", "stored"),
    [
        (b"a\r\nb\r\n", b"a\nb\n"),
        (b"no end", b"no end\n"),
        (b"", b"\n"),
        (b"\r\n.\r\n", b"\n.\n"),
        (b"\xff\x00\r\n", b"\xff\x00\n"),
    ],
)
def test_the_stored_form_has_lf_line_ends_and_one_at_the_end(wire: bytes, stored: bytes) -> None:
    assert stored_form(wire) == stored


async def test_a_sender_in_other_letters_stands_in_return_path_as_utf8(scene: Scene) -> None:
    assert await scene.deliver("joe@example.org", sender="josé@far.example") == [DELIVERED]
    [stored] = scene.mails("joe@example.org")
    assert stored.startswith("Return-Path: <josé@far.example>\n".encode())


async def test_a_recipient_in_other_letters_has_no_mailbox(scene: Scene) -> None:
    [outcome] = await scene.deliver("zoë@example.org")
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.1.1"


@pytest.mark.parametrize(
    "to",
    [("joe-x@example.org", "joe-y@example.org"), ("joe@example.org", "joe+lists@example.org")],
)
async def test_a_mailbox_that_several_recipients_lead_to_has_one_copy(
    scene: Scene, to: tuple[str, ...]
) -> None:
    """On each try the same one, be its name as long as the other's or not."""
    for _ in range(2):
        assert await scene.deliver(*to, "ann@example.org") == [DELIVERED] * 3
        [mail] = scene.mails("joe@example.org")
        assert f"Delivered-To: {to[0]}\n".encode() in mail
    assert len(scene.mails("ann@example.org")) == 1
