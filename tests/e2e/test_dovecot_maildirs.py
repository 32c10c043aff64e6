"""Dovecot on the same Maildirs, over POP3 and IMAP: it agrees on mails, sizes, names and quota."""

import contextlib
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
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="unshare, and installing Dovecot, are root's"),
]

NOBODY = 65_534
USERS = ("joe", "ann", "sue")
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
first_valid_uid = 1
mail_uid = nobody
mail_gid = nogroup
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
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
}}
service anvil {{
  chroot =
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
        return booked


@contextlib.contextmanager
def dovecot(folder: Path, users: str) -> Iterator[tuple[int, int]]:
    """Its ports of IMAP and POP3.

    It opens no mail as root, who owns ours here: in a namespace of users root is called nobody.
    """
    require("/usr/lib/dovecot/imap", "dovecot-imapd")
    require("/usr/lib/dovecot/pop3", "dovecot-pop3d")
    program = require("dovecot", "dovecot-core")
    for name in ("run", "state"):
        (folder / name).mkdir()
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    (folder / "users").write_text(users)
    imap, pop3 = free_port(), free_port()
    conf = folder / "dovecot.conf"
    conf.write_text(CONF.format(folder=folder, imap=imap, pop3=pop3, quota=QUOTA))
    as_nobody = [require("unshare", "util-linux"), "--user", f"--map-user={NOBODY}"]
    command = [*as_nobody, f"--map-group={NOBODY}", program, "-F", "-c", str(conf)]
    with running(command, listens(imap), folder / "out.log"):
        until(listens(pop3), 20, "POP3 of Dovecot")
        yield imap, pop3


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Every user has a mail."""
    folder = tmp_path_factory.mktemp("dovecot")
    platform = Platform(folder / "data").start()
    try:
        platform.with_accounts(*USERS)
        for name in USERS:
            platform.ok("account", "quota", f"{name}@example.org", f"{QUOTA}S,1000C")
        first = Scene(platform, 0, 0)
        for name in USERS:
            first.send(name, "the first")
        users = "".join(
            f"{name}@example.org:{{plain}}{PASSWORD}::::{first.maildir(name).parent}::"
            f"userdb_mail=maildir:{first.maildir(name)}\n"
            for name in USERS
        )
        with dovecot(folder, users) as ports:
            yield Scene(platform, *ports)
    finally:
        platform.release()


def listed(client: poplib.POP3) -> tuple[tuple[int, int], list[bytes], list[bytes]]:
    """STAT, LIST and UIDL."""
    found = client.stat(), client.list()[1], client.uidl()[1]
    client.quit()
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition(":")[0] for path in folder.iterdir())


def test_both_pop3_servers_show_the_same_maildrop(scene: Scene) -> None:
    """Sizes on the wire come from `,W=`, unique ids from the names; so it stays after a move."""
    scene.send("joe", "one", "two", "three")
    theirs = listed(scene.their_pop3("joe"))
    assert theirs[0][0] == 4
    assert names(scene.maildir("joe") / "new") == [], "Dovecot has moved them"
    assert listed(scene.our_pop3("joe")) == theirs
    assert listed(scene.their_pop3("joe")) == theirs
    scene.send("joe", "four")
    ours = listed(scene.our_pop3("joe"))
    assert ours[0][0] == 5
    assert ours[2][:4] == theirs[2]
    assert listed(scene.their_pop3("joe")) == ours
    scene.agree("joe")


def test_imap_has_the_sizes_of_the_names(scene: Scene) -> None:
    scene.send("ann", "one", "two")
    client = scene.imap("ann")
    _, answers = client.fetch("1:*", "(RFC822.SIZE)")
    sizes = [re.search(rb"RFC822.SIZE (\d+)", a)[1] for a in answers if isinstance(a, bytes)]  # type: ignore[index]
    _, [(_, body), _] = client.fetch("1", "(BODY.PEEK[])")  # type: ignore[misc]
    client.logout()
    in_names = [name.rpartition(",W=")[2] for name in names(scene.maildir("ann") / "cur")]
    assert sorted(size.decode() for size in sizes) == sorted(in_names)
    assert isinstance(body, bytes)
    assert len(body) == int(sizes[0])
    scene.agree("ann")


def test_what_dovecot_removes_makes_room(scene: Scene) -> None:
    scene.send("sue", "one", "two", "three")
    before = scene.agree("sue")
    client = scene.imap("sue")
    client.store("1,3", "+FLAGS", r"\Deleted")
    client.expunge()
    client.logout()
    after = scene.agree("sue")
    assert after[1] == before[1] - 2
    reader = scene.their_pop3("sue")
    reader.dele(1)
    reader.quit()
    assert scene.agree("sue")[1] == 1
    scene.send("sue", "four")
    assert scene.agree("sue")[1] == 2


def test_what_our_pop3_removes_makes_room(scene: Scene) -> None:
    scene.send("joe", "one", "two", "three")
    for _ in range(2):  # the first time they lie in new, then in cur
        before = scene.agree("joe")
        reader = scene.our_pop3("joe")
        reader.dele(1)
        reader.quit()
        assert scene.agree("joe")[1] == before[1] - 1


def test_subfolders_count_and_the_trash_does_not(scene: Scene) -> None:
    scene.send("ann", "one", "two", "three")
    before = scene.agree("ann")
    client = scene.imap("ann")
    for folder in ("Sent", "Trash"):
        client.create(folder)
    client.copy("1", "Sent")
    client.logout()
    with_copy = scene.agree("ann")
    assert with_copy[1] == before[1] + 1
    client = scene.imap("ann")
    client.copy("2", "Trash")
    client.store("2", "+FLAGS", r"\Deleted")
    client.expunge()
    client.logout()
    assert scene.agree("ann")[1] == before[1]
    (scene.maildir("ann") / "maildirsize").unlink()  # Dovecot counts
    assert scene.theirs("ann")[1] == before[1]
    scene.send("ann", "four")  # and we do not take its word
    assert scene.agree("ann")[1] == before[1] + 1
    (scene.maildir("ann") / "maildirsize").unlink()  # we count
    scene.send("ann", "five")
    assert scene.agree("ann")[1] == before[1] + 2


def test_a_mailbox_that_dovecot_fills_is_full_for_us(scene: Scene) -> None:
    """And what it has moved to cur is not delivered again."""
    scene.send("ann", "x" * 20)
    held = scene.agree("ann")[1]
    client = scene.imap("ann")
    big = b"Subject: big\r\n\r\n" + b"x" * 900 + b"\r\n"
    client.append("INBOX", "", "", (big * 1100)[: QUOTA - 20_000])
    client.logout()
    assert scene.agree("ann")[1] == held + 1
    with scene.platform.smtp() as smtp:
        smtp.ehlo()
        smtp.mail("s@client.example", ["SIZE=30000"])
        assert smtp.rcpt("ann@example.org") == (452, b"4.2.2 user is over quota (#4.2.2)")
    scene.platform.wait_for_empty_queue(20)
    assert scene.agree("ann")[1] == held + 1
