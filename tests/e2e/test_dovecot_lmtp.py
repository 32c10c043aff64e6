"""Dovecot's LMTP as the next hop: a reply for each recipient after the final dot (RFC 2033)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.platform import NewPlatform, until
from tests.e2e.real_peers import free_port, listens, running
from tests.e2e.tools import require
from tests.remote.attempts import TERMS, Attempts
from tubepost.delivery import Mail
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.subjects import Key

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot starts as root"),
]

JOE, ANN, FULL, GHOST = (f"{name}@far.example" for name in ("joe", "ann", "full", "ghost"))
EIGHT_BIT = "Grüße.\r\n.\r\n..two\r\n".encode()
WIRE = Mail(Key(0, "m1", "0"), "s@example.org", (JOE,), "[127.0.0.1]", b"", 1, 0.0)

CONF = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = lmtp
listen = 127.0.0.1
ssl = no
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%n
mail_uid = nobody
mail_gid = nogroup
lmtp_save_to_detail_mailbox = no
postmaster_address = postmaster@far.example
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
plugin {{
  quota = maildir:all
}}
protocol lmtp {{
  mail_plugins = quota
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  unix_listener stats-reader {{
    mode = 0
  }}
}}
"""


@contextmanager
def dovecot(folder: Path) -> Iterator[int]:
    """Its LMTP port. joe and ann have mailboxes, full's has no room left."""
    program = require("dovecot", "dovecot-lmtpd")
    port = free_port()
    for name in ("run", "state", "mail"):
        (folder / name).mkdir()
    (folder / "mail").chmod(0o777)
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    users = [f"{address}:{{plain}}x::::::" for address in (JOE, ANN)]
    users += [f"{FULL}:{{plain}}x::::::userdb_quota_rule=*:bytes=100"]
    (folder / "users").write_text("".join(f"{line}\n" for line in users))
    conf = folder / "dovecot.conf"
    conf.write_text(CONF.format(folder=folder, port=port))
    with running([program, "-F", "-c", str(conf)], listens(port), folder / "out.log"):
        yield port


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("dovecot")
    with dovecot(folder) as port:
        yield port, folder


async def deliver(port: int, mail: Mail) -> dict[str, Outcome]:
    async with Attempts(port, replace(TERMS, lmtp=True)) as attempts:
        return await attempts.deliver(mail)


def text(subject: str, body: bytes = EIGHT_BIT) -> bytes:
    return f"From: s@example.org\r\nSubject: {subject}\r\n\r\n".encode() + body


def mailbox(folder: Path, address: str) -> list[bytes]:
    new = folder / "mail" / address.partition("@")[0] / "new"
    return [path.read_bytes() for path in new.iterdir()] if new.exists() else []


def arrived(folder: Path, address: str, subject: str) -> bytes:
    wanted = f"Subject: {subject}\n".encode()
    until(lambda: any(wanted in mail for mail in mailbox(folder, address)), 20, subject)
    [found] = [mail for mail in mailbox(folder, address) if wanted in mail]
    return found


async def test_two_mailboxes(host: tuple[int, Path]) -> None:
    port, folder = host
    outcomes = await deliver(port, replace(WIRE, recipients=(JOE, ANN), body=text("two")))
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}, outcomes
    for address in (JOE, ANN):
        assert address in outcomes[address].text, "the reply to the dot is its own"
        got = arrived(folder, address, "two")
        assert got.endswith(b"\n\n" + EIGHT_BIT.replace(b"\r\n", b"\n"))


async def test_each_recipient_has_an_outcome_of_its_own(host: tuple[int, Path]) -> None:
    port, folder = host
    to = (GHOST, FULL, JOE)
    outcomes = await deliver(port, replace(WIRE, recipients=to, body=text("three", EIGHT_BIT * 9)))
    ghost, full, joe = (outcomes[address] for address in to)
    assert isinstance(ghost, Failed)
    assert ghost.status == "5.1.1"
    assert isinstance(full, Deferred | Failed)
    assert full.status.endswith(".2.2")
    assert isinstance(joe, Delivered)
    arrived(folder, JOE, "three")
    assert not mailbox(folder, FULL)


async def test_nobody_has_a_mailbox(host: tuple[int, Path]) -> None:
    port, _ = host
    outcome = (await deliver(port, replace(WIRE, recipients=(GHOST,), body=text("none"))))[GHOST]
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.1.1"


async def test_who_is_told_ehlo_defers(host: tuple[int, Path]) -> None:
    """A route that forgets to say `lmtp`: a slip of ours bounces no mail."""
    port, folder = host
    async with Attempts(port) as attempts:
        outcome = (await attempts.deliver(replace(WIRE, body=text("wrong"))))[JOE]
    assert isinstance(outcome, Deferred)
    assert not [mail for mail in mailbox(folder, JOE) if b"Subject: wrong" in mail]


def test_a_route_says_lmtp_on_a_live_platform(
    host: tuple[int, Path], new_platform: NewPlatform
) -> None:
    """One mail to three recipients, one transaction: each reply to the dot has its own end."""
    port, folder = host
    platform = new_platform().start()
    platform.ok("control", "set", "rcpthosts", "far.example")
    platform.ok("control", "set", "smtproutes", f"far.example:127.0.0.1:{port} lmtp")
    with platform.smtp() as client:
        client.sendmail("s@client.example", [JOE, GHOST, ANN], text("by a route", b"Hi.\r\n"))
    for address in (JOE, ANN):
        assert arrived(folder, address, "by a route").endswith(b"\nHi.\n")
    until(lambda: "mail.bounced" in platform.log.read_text(), 20, "the bounce for the ghost")
    why = platform.ok("why", JOE)
    assert ", by LMTP" in why
    assert f"127.0.0.1 port {port}" in why
