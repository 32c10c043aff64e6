"""A whole platform for a test: `tubepost up` as its own process, the command, kills.

It must not reach inside: what a test sees is what an operator and a mail client see. Linux only:
kills go through pidfds, the tree of processes is read from /proc.
"""

import contextlib
import json
import os
import select
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TUBEPOST = str(Path(sys.executable).parent / "tubepost")
READY_WITHIN = 60.0
PASSWORD = "correct horse battery"
POLL = 0.05
LISTENERS = ("smtp", "submission", "submissions", "pop3", "pop3s")

Address = tuple[str, int]
NewPlatform = Callable[..., "Platform"]
"""The fixture `new_platform`: new_platform(*options, data="data")."""


class NotReady(AssertionError):
    """`tubepost up` ended, or said nothing for too long; the text has the end of its log."""


def until(done: Callable[[], bool], seconds: float, what: str = "it") -> None:
    """Returns once `done()` is true; AssertionError after `seconds`. For what sends no event."""
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up, f"{what} did not happen within {seconds:g} s"
        time.sleep(POLL)


class Platform:
    """`tubepost up` on one data folder; may be started, stopped and killed again and again."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data, self._options = data, options
        self.log = data.with_name(data.name + ".log")
        self.addresses: dict[str, Address] = {}
        self.ready_line = ""
        self.environment: dict[str, str] = {}
        self._up: subprocess.Popen[str] | None = None

    # --- life

    def start(self) -> "Platform":
        """Returns when it is ready. Raises NotReady."""
        self.release()
        ports = [f"--{name}=127.0.0.1:0" for name in LISTENERS]
        command = [TUBEPOST, "up", f"--data={self.data}", *ports, "--admin=127.0.0.1:0"]
        with self.log.open("a") as log:
            self._up = subprocess.Popen(
                [*command, *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.environment},
            )
        self.ready_line = self._first_line()
        words = dict(word.split("=") for word in self.ready_line.split()[1:])
        words.pop("durability")
        self.addresses = {name: _address(text) for name, text in words.items()}
        return self

    def _first_line(self) -> str:
        out = self._process.stdout
        assert out
        ready, _, _ = select.select([out], [], [], READY_WITHIN)
        line = out.readline() if ready else ""
        if not line.startswith("ready "):
            self.kill9()
            raise NotReady(f"no ready line but {line!r}; the log ends:\n{self.log_tail()}")
        return line

    @property
    def _process(self) -> "subprocess.Popen[str]":
        assert self._up, "not started"
        return self._up

    @property
    def pid(self) -> int:
        """Of `tubepost up` itself."""
        return self._process.pid

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Sends a signal; the exit code."""
        self._process.send_signal(number)
        return self._process.wait(seconds)

    def rest_of_stdout(self) -> str:
        """What it wrote after the ready line; only once it has ended."""
        assert self._process.stdout
        return self._process.stdout.read()

    def release(self) -> None:
        """Ends what may still run, and lets go of its output."""
        if self._up and self._up.poll() is None:
            self.kill9()
        if self._up and self._up.stdout:
            self._up.stdout.close()

    # --- kills

    def kill9(self) -> None:
        """SIGKILL to every process of the platform; returns when all are gone."""
        with self.ready_to_kill() as kill:
            kill()

    @contextlib.contextmanager
    def ready_to_kill(self) -> Iterator[Callable[[], None]]:
        """A function that kills every process there is now, prepared so that it takes no time."""
        with _pidfds([self.pid, *descendants(self.pid)]) as fds:

            def kill() -> None:
                for fd in fds:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(fd, signal.SIGKILL)
                assert not _still_running(fds, 10.0)
                self._process.wait(10)

            yield kill

    def kill_parent_alone(self) -> list[int]:
        """SIGKILL to `tubepost up` only; the pids of children that still run 10 s later."""
        children = descendants(self.pid)
        with _pidfds(children) as fds:
            self._process.kill()
            self._process.wait(10)
            left = _still_running(fds, 10.0)
            return [children[fds.index(fd)] for fd in left]

    def pid_of(self, service: str) -> int:
        """The process of one service (with --processes), or of nats-server."""
        found = self._pids_of(service)
        assert len(found) == 1, (service, found)
        return found[0]

    def pids_of(self, service: str) -> list[int]:
        """Its processes, where it may have several."""
        return self._pids_of(service)

    def runs(self, service: str) -> bool:
        """Whether it has a process."""
        return len(self._pids_of(service)) == 1

    def _pids_of(self, service: str) -> list[int]:
        wanted = "nats-server" if service == "nats-server" else f"services.{service}"
        return [pid for pid in descendants(self.pid) if wanted in _command_line(pid)]

    def kill9_service(self, service: str) -> None:
        """SIGKILL to one service; returns when its process is gone."""
        with _pidfds([self.pid_of(service)]) as fds:
            signal.pidfd_send_signal(fds[0], signal.SIGKILL)
            assert not _still_running(fds, 10.0)

    # --- use

    def command(self, *args: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """Runs `tubepost ARGS --data ...`."""
        return subprocess.run(
            [TUBEPOST, *args, "--data", str(self.data)],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def ok(self, *args: str, stdin: bytes = b"") -> str:
        """As `command`, for one that has to succeed: what it printed."""
        done = self.command(*args, stdin=stdin)
        assert done.returncode == 0, (args, done.returncode, done.stderr.decode())
        return done.stdout.decode()

    def json(self, *args: str) -> Any:
        """What `tubepost ARGS --json` tells."""
        return json.loads(self.ok(*args, "--json"))

    def with_accounts(self, *names: str) -> "Platform":
        """Adds example.org and mailboxes in it, with PASSWORD."""
        self.ok("domain", "add", "example.org")
        for name in names:
            address, password = f"{name}@example.org", PASSWORD.encode() + b"\n"
            self.ok("account", "add", address, "--password-stdin", stdin=password)
        return self

    def smtp(self) -> smtplib.SMTP:
        """A client that has said nothing yet."""
        return smtplib.SMTP(*self.addresses["smtp"], local_hostname="client.example", timeout=30)

    def maildir(self, address: str) -> list[Path]:
        """The files of new mails of an account."""
        local, _, domain = address.partition("@")
        return sorted((self.data / "mail").glob(f"*/{domain}/*/{local}/Maildir/new/*"))

    def wait_for_empty_queue(self, seconds: float) -> None:
        """AssertionError after `seconds`, with what is left in it."""
        try:
            until(self._queue_is_empty, seconds)
        except AssertionError:
            left = self.command("qread", "--json").stdout.decode()
            raise AssertionError(f"after {seconds:g} s these are left: {left}") from None

    def _queue_is_empty(self) -> bool:
        """False also where nobody can tell now."""
        done = self.command("qstat", "--json")
        return done.returncode == 0 and json.loads(done.stdout)["messages"] == 0

    def log_tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def descendants(pid: int) -> list[int]:
    """Children, grandchildren and so on, zombies left out."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(folder.name))
    found, to_visit = [], [pid]
    while to_visit:
        below = children.get(to_visit.pop(), [])
        found += below
        to_visit += below
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@contextlib.contextmanager
def _pidfds(pids: list[int]) -> Iterator[list[int]]:
    fds = [os.pidfd_open(pid) for pid in pids]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _still_running(fds: list[int], seconds: float) -> list[int]:
    """Waits for the processes to end; those that have not after `seconds`."""
    give_up = time.monotonic() + seconds
    left = list(fds)
    while left and time.monotonic() < give_up:
        ended, _, _ = select.select(left, [], [], max(0.0, give_up - time.monotonic()))
        left = [fd for fd in left if fd not in ended]
    return left


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)
