"""What the bench needs of a mail system under load, and Tubepost as one. Postfix is in postfix.py.

Must not measure anything.
"""

import os
import re
import secrets
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from bench.processes import Census, read_stat

DOMAIN = "bench.example"
READY_WITHIN = 60.0
STOPPED_WITHIN = 30.0


class BenchError(Exception):
    """The bench cannot give a number; the text says why."""


class Peer(ABC):
    """A mail system in a folder of its own: listens on 127.0.0.1, delivers into Maildirs below it.

    `mailboxes` are local parts at DOMAIN; `start` makes them.
    """

    name: str

    def __init__(self, folder: Path, mailboxes: Sequence[str]) -> None:
        self.folder = folder
        self.mailboxes = mailboxes
        self.port = 0
        self.root = 0  # pid of the process all others of this system descend from

    @abstractmethod
    def start(self) -> None:
        """Returns when the port answers. Raises BenchError."""

    @abstractmethod
    def stop(self) -> None:
        """Returns when nothing runs any more. Harmless when nothing was started."""

    @abstractmethod
    def maildir(self, mailbox: str) -> Path | None:
        """The folder `new` of the mailbox, or None while there is none."""

    @abstractmethod
    def log_tail(self) -> str:
        """The last lines of its log, for the message when a round fails."""

    def process_name(self, pid: int) -> str:
        """What to call a process in the table; empty when it is gone."""
        stat = read_stat(pid)
        return stat.name if stat else ""

    def pids(self) -> set[int]:
        """Every living process of the system."""
        return Census().below(self.root) if self.root else set()

    def maildir_count(self, mailbox: str) -> int:
        """How many mails the mailbox holds: names only, no mail is opened or stat'ed."""
        folder = self.maildir(mailbox)
        return len(os.listdir(folder)) if folder else 0


class TubepostPeer(Peer):
    """`tubepost up --processes` with its embedded nats-server."""

    name = "tubepost"
    ready_within = READY_WITHIN
    shards = 0
    """0: Tubepost's default."""
    _SERVICE = re.compile(r"(?:.*[./])?(smtpd|scheduler|local|remote|popauth|nats-server)")
    _PORTS = ("--smtp", "--submission", "--submissions", "--pop3", "--pop3s", "--admin")

    def __init__(self, folder: Path, mailboxes: Sequence[str], command: str) -> None:
        super().__init__(folder, mailboxes)
        self._command = command
        self.data = folder / "data"
        self._up: subprocess.Popen[bytes] | None = None
        self._found: dict[str, Path] = {}

    def start(self) -> None:
        """Starts the platform, waits for its `ready` line, then adds the domain and accounts."""
        self.launch()
        self.tubepost("domain", "add", DOMAIN)
        for mailbox in self.mailboxes:
            password = secrets.token_urlsafe()
            account = f"{mailbox}@{DOMAIN}"
            self.tubepost("account", "add", account, "--password-stdin", stdin=password)

    def launch(self) -> None:
        """Starts the platform on the data it has; returns at its `ready` line."""
        ports = [word for option in self._PORTS for word in (option, "127.0.0.1:0")]
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            arguments = [self._command, "up", "--processes", "--data", str(self.data), *ports]
            arguments += ["--shards", str(self.shards)] if self.shards else []
            self._up = subprocess.Popen(arguments, stdout=out, stderr=err)
        self.root = self._up.pid
        ready = self._wait_ready(self._up)
        if ready.get("durability") != "fsync":
            raise BenchError(f"tubepost says durability={ready.get('durability')}, not fsync")
        self.port = int(ready["smtp"].rpartition(":")[2])

    def stop(self) -> None:
        """SIGTERM to `up`, which stops its services; SIGKILL to it when it does not end."""
        if self._up is None:
            return
        self._up.terminate()
        try:
            self._up.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._up.kill()  # the bench ends the orphans
            self._up.wait()
            print(f"bench: tubepost up did not stop within {STOPPED_WITHIN:.0f} s", file=sys.stderr)
        self._up = None
        self.root = 0

    def maildir(self, mailbox: str) -> Path | None:
        """Found once by its name below DATA/mail: the layout between is Tubepost's own."""
        if mailbox not in self._found:
            for folder in (self.data / "mail").glob("**/Maildir/new"):
                if mailbox in folder.parts:
                    self._found[mailbox] = folder
        return self._found.get(mailbox)

    def log_tail(self) -> str:
        """The end of stderr and of stdout; the services log there."""
        return tail(self._stderr) + tail(self._stdout)

    def process_name(self, pid: int) -> str:
        """The service named on the command line, `up` for the parent, else the kernel's name."""
        if pid == self.root:
            return "up"
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        found = (self._SERVICE.fullmatch(word) for word in words)
        return next((match[1] for match in found if match), super().process_name(pid))

    @property
    def _stdout(self) -> Path:
        return self.folder / "up.stdout"

    @property
    def _stderr(self) -> Path:
        return self.folder / "up.stderr"

    def _wait_ready(self, up: subprocess.Popen[bytes]) -> dict[str, str]:
        deadline = time.monotonic() + self.ready_within
        while time.monotonic() < deadline and up.poll() is None:
            for line in self._stdout.read_text().splitlines():
                if line.startswith("ready "):
                    return dict(word.split("=", 1) for word in line.split()[1:])
            time.sleep(0.05)
        why = "ended" if up.poll() is not None else f"not ready after {self.ready_within:.0f} s"
        raise BenchError(f"tubepost up: {why}\n{self.log_tail()}")

    def tubepost(self, *arguments: str, stdin: str = "") -> None:
        """Runs `tubepost ARGUMENTS` on this platform. Raises BenchError with what it said."""
        run([self._command, *arguments, "--data", str(self.data)], stdin=stdin)


def run(
    command: Sequence[str | Path], *, stdin: str = "", env: dict[str, str] | None = None
) -> str:
    """The standard output of a command that ends by itself. Raises BenchError with its stderr."""
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        words = " ".join(map(str, command))
        raise BenchError(f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def tail(path: Path, size: int = 3000) -> str:
    return path.read_text(errors="replace")[-size:] if path.exists() else ""
