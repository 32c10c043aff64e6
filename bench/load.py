"""One load on one peer: smtp-source sends, the Maildir is watched, the processes are metered.

Must not know which mail system it loads.
"""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import DOMAIN, BenchError, Peer
from bench.processes import Meter, Usage, cores_seconds

SOURCE = "/usr/sbin/smtp-source"
SESSIONS = 20
BODY_BYTES = 4096
STALL = 60.0
"""Seconds without a new mail in the Maildir after which a load is given up."""

POLL_FAR = 0.2
POLL_NEAR = 0.02
"""Seconds between two looks at the Maildir: far from the last mail, and close to it."""

SETTLE = 1.0
"""Seconds metered after the last mail, on both sides: taking it off the queue is work too."""


@dataclass(frozen=True, slots=True)
class Load:
    """A way to send, and the mailbox its mails go to (each has its own, so counts start at 0)."""

    title: str
    mailbox: str
    options: tuple[str, ...] = ()
    domain: str = DOMAIN


@dataclass(frozen=True, slots=True)
class Result:
    """One load on one peer in one round. Seconds from the first send; CPU in seconds."""

    mails: int
    accepted_after: float
    delivered_after: float
    in_maildir: int
    usage: Usage
    source_cpu: float
    bench_cpu: float
    cores_busy: float
    cores_stolen: float

    @property
    def other_cpu(self) -> float:
        """CPU seconds the cores spent on neither the system, the load nor the bench."""
        ours = self.usage.cpu_total + self.source_cpu + self.bench_cpu
        return max(self.cores_busy - ours, 0.0)

    @property
    def accepted_rate(self) -> float:
        """Mails a second that got their 250."""
        return self.mails / self.accepted_after

    @property
    def delivered_rate(self) -> float:
        """Mails a second from the first send until the Maildir held all."""
        return self.mails / self.delivered_after


class Source:
    """smtp-source, waited for by a thread so that its end is timed to the millisecond."""

    def __init__(self, peer: Peer, load: Load, mails: int, log: Path) -> None:
        self._log = log
        self.started = time.monotonic()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                _arguments(peer.port, load, mails), stdout=out, stderr=subprocess.STDOUT
            )
        self.ended = 0.0
        self.cpu = 0.0
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        _, status, usage = os.wait4(self._process.pid, 0)
        self.cpu = usage.ru_utime + usage.ru_stime
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.ended = time.monotonic()

    def check(self) -> None:
        """Raises BenchError once it has failed: it stops at the first reply it did not expect."""
        if self.ended and self._process.returncode:
            raise BenchError(f"smtp-source: exit {self._process.returncode}: {self._said()}")

    def finish(self, seconds: float = STALL) -> None:
        """Returns when it has ended. Raises BenchError like `check`."""
        self._thread.join(seconds)
        if not self.ended:
            raise BenchError(f"smtp-source still runs after {seconds:.0f} s")
        self.check()

    def kill(self) -> None:
        """Ends it when a load is given up."""
        if not self.ended:
            os.kill(self._process.pid, 9)
            self._thread.join()

    def _said(self) -> str:
        return self._log.read_text(errors="replace").strip()


def _arguments(port: int, load: Load, mails: int) -> Sequence[str]:
    counts = ["-s", str(min(SESSIONS, mails)), "-m", str(mails), "-l", str(BODY_BYTES)]
    names = ["-M", "client.example", "-f", "source@client.example"]
    to = ["-t", f"{load.mailbox}@{load.domain}"]
    return [SOURCE, "-4", *load.options, *counts, *names, *to, f"127.0.0.1:{port}"]


def put(peer: Peer, load: Load, mails: int) -> Result:
    """Sends `mails` mails and waits until the Maildir holds them.

    Raises BenchError when a mail is refused, deliveries stall, or more arrive than were sent.
    """
    os.sync()  # dirty pages of the round before are not this one's to write
    meter = Meter(peer.root, peer.process_name)
    meter.start()
    own, (busy, stolen) = time.process_time(), cores_seconds()
    source = Source(peer, load, mails, peer.folder / "smtp-source.log")
    try:
        delivered = _watch(peer, load, mails, source)
        source.finish()
    except BenchError as error:
        raise BenchError(f"{peer.name}, {load.title}: {error}\n{peer.log_tail()}") from error
    finally:
        source.kill()
    time.sleep(SETTLE)
    usage = meter.stop()
    busy_after, stolen_after = cores_seconds()
    return Result(
        mails=mails,
        accepted_after=source.ended - source.started,
        delivered_after=delivered - source.started,
        in_maildir=peer.maildir_count(load.mailbox),
        usage=usage,
        source_cpu=source.cpu,
        bench_cpu=time.process_time() - own,
        cores_busy=busy_after - busy,
        cores_stolen=stolen_after - stolen,
    )


def _watch(peer: Peer, load: Load, mails: int, source: Source) -> float:
    """The instant the Maildir held all mails. Raises BenchError on a stall or a failed source."""
    count, changed = 0, source.started
    while count < mails:
        time.sleep(_pause(count, mails, time.monotonic() - source.started))
        source.check()
        before, count = count, peer.maildir_count(load.mailbox)
        if count != before:
            changed = time.monotonic()
        elif time.monotonic() - changed > STALL:
            raise BenchError(f"{count} of {mails} mails delivered, nothing new for {STALL:.0f} s")
    return changed


def _pause(count: int, mails: int, seconds: float) -> float:
    """A quarter of the time the rest will take at the rate so far, within POLL_NEAR..POLL_FAR.

    Listing a folder of thousands costs about a millisecond, so it is done often only at the end.
    """
    rest = (mails - count) * seconds / count if count else 0.0
    return min(max(rest / 4, POLL_NEAR), POLL_FAR)
