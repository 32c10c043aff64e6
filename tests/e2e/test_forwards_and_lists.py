"""Aliases, forwards, catch-all, extensions and lists on a whole platform and another host."""

import itertools
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx
import pytest

from tests.e2e import entries
from tests.e2e.entries import account
from tests.e2e.platform import Platform, until
from tests.e2e.sink import Received, Sink, listening
from tubepost.directory_values import HOLD, MEMBERS, Account, Alias, Domain, Entry, MailingList

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

JOE, ANN, BOSS, EVE = (f"{name}@example.org" for name in ("joe", "ann", "boss", "eve"))
POSTMASTER = "postmaster@example.org"
BOB, SUE, GONE = (f"{name}@far.example" for name in ("bob", "sue", "gone"))
NO_GONE = "550 5.1.1 there is no gone here"

DIRECTORY: tuple[Domain | Entry, ...] = (
    Domain("example.org"),
    Domain("example.net", alias_of="example.org"),
    Domain("example.com", unknown=JOE),
    *(account(address) for address in (JOE, ANN, BOSS, EVE, POSTMASTER)),
    account("keeper@example.org", forward=(BOB, ANN)),
    account("leaver@example.org", forward=(BOB, ANN), keep=False),
    Alias("team@example.org", (JOE, ANN, BOB)),
    Alias("a@example.org", ("b@example.org",)),
    Alias("b@example.org", ("a@example.org",)),
    Alias("chief@example.org", (BOSS,)),
    Alias("moving@example.org", (JOE,)),
    MailingList("news@example.org", "chief@example.org", (JOE, ANN, EVE, BOB, SUE, JOE.upper())),
    MailingList("sad@example.org", "chief@example.org", (GONE, EVE)),
    MailingList("inner@example.org", BOSS, (EVE, "outer@example.org")),
    MailingList("outer@example.org", BOSS, ("inner@example.org", BOB)),
    MailingList("team-talk@example.org", BOSS, (JOE,), posting=MEMBERS),
)


@dataclass
class World:
    """The platform and the other host. Every mail has a subject of its own."""

    platform: Platform
    far: Sink
    api: httpx.Client
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def send(self, to: str, sender: str = SUE) -> tuple[str, str]:
        """A mail; its subject, and its id."""
        subject = f"mail {next(self._numbers)}"
        with self.platform.smtp() as client:
            client.ehlo()
            client.mail(sender)
            code, text = client.rcpt(to)
            if code != 250:
                raise smtplib.SMTPRecipientsRefused({to: (code, text)})
            _, reply = client.data(f"From: {SUE}\r\nSubject: {subject}\r\n\r\nHi.\r\n".encode())
        return subject, reply.decode().split()[-1]

    def done(self, to: str, sender: str = SUE) -> str:
        """As `send`, once nothing more comes of it; the subject."""
        subject, mail_id = self.send(to, sender)
        self.until_over(mail_id)
        return subject

    def until_over(self, mail_id: str) -> None:
        """Returns once the mail, and all that was made of it, has left the queue."""

        def over() -> bool:
            answer = self.api.get("/v1/events", params={"mail": mail_id})
            by_mail: dict[str, list[dict[str, Any]]] = {}
            for event in answer.json()["events"] if answer.is_success else []:
                by_mail.setdefault(event["mail"], []).append(event)
            if not by_mail or not all(_has_ended(events) for events in by_mail.values()):
                return False
            left = self.api.get("/v1/queue/counts")  # events may come in another order
            return left.is_success and left.json()["messages"] == 0

        until(over, 30, "the end")

    def mails(self, address: str) -> list[EmailMessage]:
        """All that an account has."""
        folder = self.platform.data / "mail" / entries.home_of(address) / "Maildir" / "new"
        found = [
            message_from_bytes(f.read_bytes(), policy=policy.default) for f in folder.glob("*")
        ]
        return [mail for mail in found if isinstance(mail, EmailMessage)]

    def about(self, address: str, subject: str) -> list[EmailMessage]:
        """What an account has of a mail: itself, or reports about it."""
        return [m for m in self.mails(address) if f"Subject: {subject}\n" in m.as_string()]

    def at_bob(self, subject: str) -> list[Received]:
        """What the other host has of it, whoever it is for."""
        return [m for m in self.far.mails if f"Subject: {subject}\r\n".encode() in m.body]


def _has_ended(events: list[dict[str, Any]]) -> bool:
    """Of one mail. What local made of it was told before its own end, by the same process."""
    attempts = [e for e in events if e["event"] == "attempt"]
    over = {e["unit"] for e in attempts if e["state"] in ("done", "gone", "bounce")}
    units = sum(e["count"] for e in events if e["event"] == "split") or 1
    bounced = any(e["state"] == "bounce" for e in attempts)
    ended = any(e["event"] == "ended" for e in events)
    return len(over) >= units and (ended or (units == 1 and not bounced))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    platform = Platform(tmp_path_factory.mktemp("lists") / "data")
    with listening() as far:
        far.answers["gone"] = NO_GONE
        try:
            platform.start()
            platform.ok("control", "set", "smtproutes", far.route("far.example"))
            platform.ok("control", "set", "doublebounceto", POSTMASTER)
            entries.put(platform.data, *DIRECTORY)
            with _client(platform) as api:
                yield World(platform, far, api)
            assert platform.stop() == 0
        finally:
            platform.release()


def _client(platform: Platform) -> httpx.Client:
    host, port = platform.addresses["admin"]
    token = {"Authorization": f"Bearer {(platform.data / 'token').read_text().strip()}"}
    return httpx.Client(base_url=f"http://{host}:{port}", headers=token, timeout=30)


def test_an_alias_goes_to_mailboxes_here_and_to_another_host(world: World) -> None:
    subject = world.done("team@example.org")
    [to_joe], [to_ann] = world.about(JOE, subject), world.about(ANN, subject)
    assert to_joe.get_all("Delivered-To") == [JOE, "team@example.org"]
    assert to_ann["Return-Path"] == f"<{SUE}>"
    [to_bob] = world.at_bob(subject)
    assert (to_bob.sender, to_bob.recipients) == (SUE, (BOB,))
    assert to_bob.body.startswith(b"Delivered-To: team@example.org\r\nReceived: ")


@pytest.mark.parametrize(
    ("address", "kept"), [("keeper@example.org", 1), ("leaver@example.org", 0)]
)
def test_a_forward_goes_on_with_a_copy_here_or_without(
    world: World, address: str, kept: int
) -> None:
    subject = world.done(address)
    found = [len(world.about(a, subject)) for a in (address, ANN)]
    assert (found, len(world.at_bob(subject))) == ([kept, 1], 1)


def test_a_catch_all_gets_what_nobody_else_does(world: World) -> None:
    subject = world.done("whoever@example.com")
    [mail] = world.about(JOE, subject)
    assert mail.get_all("Delivered-To") == [JOE, "whoever@example.com"]


@pytest.mark.parametrize("to", ["joe@example.net", "joe+lists@example.org", "joe-a-b@example.net"])
def test_another_name_of_a_mailbox_is_the_mailbox(world: World, to: str) -> None:
    subject = world.done(to)
    assert len(world.about(JOE, subject)) == 1


def test_aliases_that_lead_to_each_other_end_in_one_bounce(world: World) -> None:
    subject = world.done("a@example.org", EVE)
    [bounce] = world.about(EVE, subject)
    assert bounce["Return-Path"] == "<>"
    assert "5.4.6" in bounce.as_string()
    assert world.about(POSTMASTER, subject) == []


def test_a_list_s_mail_reaches_all_members_each_from_a_sender_of_its_own(world: World) -> None:
    subject = world.done("news@example.org")
    local = {address: world.about(address, subject) for address in (JOE, ANN, EVE)}
    assert [len(mails) for mails in local.values()] == [1, 1, 1]
    for address, [mail] in local.items():
        name = address.partition("@")[0]
        assert mail["Return-Path"] == f"<news-return-{name}=example.org@example.org>"
        assert mail["List-Id"] == "<news.example.org>"
        assert mail["List-Post"] == "<mailto:news@example.org>"
        assert mail["List-Owner"] == "<mailto:news-owner@example.org>"
        assert mail["Precedence"] == "list"
        assert mail.get_all("Delivered-To") == [address, "news@example.org"]
        assert (mail["From"], mail.get_content()) == (SUE, "Hi.\n")
    assert {(m.sender, m.recipients) for m in world.at_bob(subject)} == {
        ("news-return-bob=far.example@example.org", (BOB,)),
        ("news-return-sue=far.example@example.org", (SUE,)),
    }


def test_a_member_s_bounce_reaches_the_owner_and_not_the_author(world: World) -> None:
    """The other host refuses one member: our own report. The owner is an alias."""
    subject = world.done("sad@example.org", JOE)
    [report] = world.about(BOSS, subject)
    assert report["Return-Path"] == "<>"
    assert f"<{GONE}>" in report.as_string()
    assert "sad-return-@example.org" in report.get_all("Delivered-To", [])
    assert world.about(JOE, subject) == []
    assert len(world.about(EVE, subject)) == 1


def test_a_bounce_from_a_member_s_host_reaches_the_owner(world: World) -> None:
    to = "news-return-bob=far.example@example.org"
    [report] = world.about(BOSS, world.done(to, ""))
    assert report["Return-Path"] == "<>"
    assert to in report.get_all("Delivered-To", [])


def test_mail_for_the_owner_reaches_him_from_whom_it_is(world: World) -> None:
    [mail] = world.about(BOSS, world.done("news-owner@example.org", EVE))
    assert mail["Return-Path"] == f"<{EVE}>"


def test_lists_that_have_each_other_for_a_member_reach_everybody_once(world: World) -> None:
    subject = world.done("inner@example.org", JOE)
    assert (len(world.about(EVE, subject)), len(world.at_bob(subject))) == (1, 1)
    assert [world.about(address, subject) for address in (BOSS, JOE, POSTMASTER)] == [[], [], []]


@pytest.mark.parametrize("sender", [SUE, ""])
def test_who_may_not_write_to_a_list_hears_it_at_rcpt(world: World, sender: str) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        world.send("team-talk@example.org", sender)
    code, text = refused.value.recipients["team-talk@example.org"]
    assert code == 550
    assert b"5.7.2" in text
    assert len(world.about(JOE, world.done("team-talk@example.org", JOE))) == 1


def test_a_change_by_command_acts_on_the_next_mail(world: World) -> None:
    before = world.done("moving@example.org")
    world.platform.ok("alias", "set", "moving@example.org", ANN)
    after = world.done("moving@example.org")
    assert [len(world.about(JOE, s)) for s in (before, after)] == [1, 0]
    assert [len(world.about(ANN, s)) for s in (before, after)] == [0, 1]


def test_mail_waits_while_a_mailbox_is_on_hold(world: World) -> None:
    address = "busy@example.org"
    busy = account(address)
    held = Account(busy.address, busy.home, busy.password, frozenset({HOLD}))
    entries.put(world.platform.data, held)
    subject, mail_id = world.send(address)

    def deferred() -> bool:
        answer = world.api.get("/v1/events", params={"mail": mail_id})
        events = answer.json()["events"] if answer.is_success else []
        return any(e["event"] == "attempt" and e["state"] == "pending" for e in events)

    until(deferred, 30, "the deferral")
    assert world.about(address, subject) == []
    entries.put(world.platform.data, busy)
    assert world.api.post(f"/v1/queue/{mail_id}/flush").json()["changed"] == 1
    world.until_over(mail_id)
    assert len(world.about(address, subject)) == 1
