"""Dovecot on the same Maildirs, over POP3 and IMAP: it agrees on mails, sizes, names and quota."""

import imaplib
import os
import poplib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.platform import PASSWORD, Platform, until
from tests.e2e.real_peers import free_port, listens, running
from tests.e2e.tools import require

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot starts as root"),
]

USERS = ("joe", "ann", "sue", "tim", "kim")
QUOTA = 1_000_000
BODY = "Grüße.\r\n.\r\n..two\r\nand no end".encode()

CONF = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
first_valid_uid = 0
first_valid_gid = 0
mail_uid = root
mail_gid = root
mail_plugins = quota
pop3_uidl_format = %f
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
plugin {{
  quota = maildir:User quota
  quota_rule = *:bytes={quota}:messages=1000
  quota_rule2 = Trash:ignore
}}
protocol imap {{
  mail_plugins = quota imap_quota
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
}}
service stats {{
  unix_listener stats-reader {{
    mode = 0
  }}
}}
"""


@dataclass(frozen=True)
class Scene:
    """A platform and a Dovecot."""

    platform: Platform
    imap_port: int
    pop3_port: int

    def maildir(self, name: str) -> Path:
        [found] = (self.platform.data / "mail").glob(f"**/{name}/Maildir")
        return found

    def send(self, name: str, *subjects: str) -> None:
        """Returns when they are in the Maildir."""
        before = self.files(name)
        with self.platform.smtp() as client:
            for subject in subjects:
                text = f"From: s@client.example\r\nSubject: {subject}\r\n\r\n".encode() + BODY
                client.sendmail("s@client.example", [f"{name}@example.org"], text)
        until(lambda: self.files(name) == before + len(subjects), 20, "the delivery")

    def files(self, name: str) -> int:
        found = list((self.platform.data / "mail").glob(f"**/{name}/Maildir"))
        return sum(len(list(found[0].glob(part + "/*"))) for part in ("new", "cur")) if found else 0

    def booked(self, name: str) -> tuple[int, int]:
        """Octets and mails, by our maildirsize."""
        lines = (self.maildir(name) / "maildirsize").read_text().splitlines()
        assert lines[0] == f"{QUOTA}S,1000C"
        pairs = [tuple(map(int, line.split())) for line in lines[1:]]
        return sum(a for a, _ in pairs), sum(b for _, b in pairs)

    def on_disk(self, name: str) -> tuple[int, int]:
        """The same, by the files themselves, of all folders but the trash."""
        folders = [f for f in self.maildir(name).glob("**/") if f.name in ("new", "cur")]
        mails = [m for f in folders if f.parent.name != ".Trash" for m in f.iterdir()]
        return sum(m.stat().st_size for m in mails), len(mails)

    def imap(self, name: str) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=20)
        client.login(f"{name}@example.org", PASSWORD)
        client.select()
        return client

    def theirs(self, name: str) -> tuple[int, int]:
        """Octets and mails, as Dovecot answers GETQUOTAROOT: it rounds octets up to KiB."""
        client = self.imap(name)
        _, (_, answers) = client.getquotaroot("INBOX")
        client.logout()
        [line] = [answer.decode() for answer in answers if answer]
        found = re.search(r"STORAGE (\d+) \d+ MESSAGE (\d+) 1000", line)
        assert found, line
        return int(found[1]), int(found[2])

    def pop3(self, name: str, port: int) -> poplib.POP3:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        client.user(f"{name}@example.org")
        client.pass_(PASSWORD)
        return client

    def our_pop3(self, name: str) -> poplib.POP3:
        return self.pop3(name, self.platform.addresses["pop3"][1])

    def their_pop3(self, name: str) -> poplib.POP3:
        return self.pop3(name, self.pop3_port)

    def agree(self, name: str) -> tuple[int, int]:
        """What is booked, once it has been found the same everywhere."""
        booked = self.booked(name)
        assert booked == self.on_disk(name)
        assert self.theirs(name) == (-(-booked[0] // 1024), booked[1])
        assert self.booked(name) == booked, "Dovecot found nothing to count again"
        room = self.platform.json("account", "quota", f"{name}@example.org")
        assert room["quota"] == f"{QUOTA}S,1000C"
        return booked


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require("/usr/lib/dovecot/imap", "dovecot-imapd")
    require("/usr/lib/dovecot/pop3", "dovecot-pop3d")
    program = require("dovecot", "dovecot-core")
    folder = tmp_path_factory.mktemp("dovecot")
    platform = Platform(folder / "data").start()
    try:
        platform.with_accounts(*USERS)
        for name in USERS:
            platform.ok("account", "quota", f"{name}@example.org", f"{QUOTA}S,1000C")
        with dovecot(folder, platform, program) as ports:
            yield Scene(platform, *ports)
    finally:
        platform.release()
