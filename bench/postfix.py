"""Postfix as a peer: installed from Debian when missing, run as a private instance in a folder.

Must not touch the machine's own Postfix: another configuration, queue, data folder, log and port.
"""

import contextlib
import os
import pwd
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers import DOMAIN, STOPPED_WITHIN, BenchError, Peer, run, tail

SBIN = "/usr/sbin"
OWNER = "nobody"  # the mailboxes belong to it: virtual(8) writes as a user that is not root

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}

myhostname = postfix.{domain}
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
in_flow_delay = 0
biff = no
append_dot_mydomain = no

virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {maps} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def install_if_missing() -> None:
    """Installs Debian's postfix package (it holds smtp-source too) when it is not there.

    Raises BenchError when that cannot be: no root, no apt-get, or another mail server in the way.
    """
    if os.geteuid() != 0:
        raise BenchError("Postfix starts as root and then drops its rights: run the bench as root")
    if all(shutil.which(name, path=SBIN) for name in ("postfix", "smtp-source")):
        return
    if not shutil.which("apt-get"):
        raise BenchError("Postfix is missing and there is no apt-get: install postfix yourself")
    print("bench: Postfix is missing. Installing Debian's package `postfix` with apt-get, without")
    print("bench: a system configuration, so that no mail service of this machine is started.")
    # --no-remove: Debian allows one mail server; a machine's own must not go for a benchmark.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    choice = "postfix postfix/main_mailer_type select No configuration\n"
    run(["debconf-set-selections"], stdin=choice)
    run(["apt-get", "update"], env=quiet)
    options = ["--yes", "--no-remove", "--no-install-recommends"]
    run(["apt-get", "install", *options, "postfix"], env=quiet)


def version() -> str:
    """Postfix's version as it says it itself."""
    return run([f"{SBIN}/postconf", "-dh", "mail_version"]).strip()


class PostfixPeer(Peer):
    """smtpd, cleanup, qmgr and virtual(8) into Maildirs, with Postfix's default limits.

    Its brake is off (in_flow_delay: senders wait 1 s while deliveries lag).
    """

    name = "postfix"

    def __init__(
        self, folder: Path, mailboxes: Sequence[str], settings: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, mailboxes)
        self._settings = settings  # further main.cf lines

    def start(self) -> None:
        """Writes the instance, checks it and starts it; `master -w` returns when it listens."""
        self.port = free_port()
        for name in ("etc", "queue", "data", "mail"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        for mailbox in self.mailboxes:
            self._make_maildir(mailbox)
        self._write_configuration()
        self._postfix("check")
        self._postfix("start")
        self.root = int((self.folder / "queue/pid/master.pid").read_text())
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), 10)):
            pass

    def stop(self) -> None:
        """`postfix stop`, then waits for master: as an orphan it is a child of the bench."""
        if not self.root:
            return
        self._postfix("stop")
        deadline = time.monotonic() + STOPPED_WITHIN
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline and not os.waitpid(self.root, os.WNOHANG)[0]:
                time.sleep(0.05)
        self.root = 0

    def maildir(self, mailbox: str) -> Path | None:
        """Made before the start."""
        return self.folder / "mail" / mailbox / "Maildir" / "new"

    def log_tail(self) -> str:
        """The end of the mail log."""
        return tail(self.folder / "mail.log")

    def _make_maildir(self, mailbox: str) -> None:
        maildir = self.folder / "mail" / mailbox / "Maildir"
        for folder in (maildir.parent, maildir, *(maildir / sub for sub in ("tmp", "new", "cur"))):
            folder.mkdir(mode=0o700)
            shutil.chown(folder, OWNER, pwd.getpwnam(OWNER).pw_gid)

    def _write_configuration(self) -> None:
        owner = pwd.getpwnam(OWNER)
        maps = ", ".join(f"{name}@{DOMAIN}={name}/Maildir/" for name in self.mailboxes)
        main = MAIN_CF.format(
            folder=self.folder, domain=DOMAIN, maps=maps, uid=owner.pw_uid, gid=owner.pw_gid
        )
        (self.folder / "etc/main.cf").write_text("\n".join([main, *self._settings, ""]))
        (self.folder / "etc/master.cf").write_text(MASTER_CF.format(port=self.port))

    def _postfix(self, command: str) -> None:
        try:
            run([f"{SBIN}/postfix", "-c", self.folder / "etc", command])
        except BenchError as error:
            raise BenchError(f"{error}\n{self.log_tail()}") from error


def free_port() -> int:
    """A port nobody listens on now; master.cf needs a number, so a small race remains."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
