"""Processes under measurement: the tree below a pid, its CPU time and its memory, read from /proc.

Must not know Postfix or Tubepost: whoever asks says what a process is called.
"""

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_EVERY = 0.1
"""Seconds between two readings of the CPU clocks: under a microsecond a process."""

MEMORY_EVERY = 0.5
"""Seconds between two readings of Pss, which makes the kernel walk page tables."""

UNSEEN = "ended, not seen"
"""CPU time of processes after their last sample; the total holds it, no name does."""

_TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_NEW = 2  # samples in which a process may still be between fork and exec: its name is read again


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says: name, parent, and the CPU seconds of its children waited for."""

    name: str
    parent: int
    reaped: float


@dataclass(slots=True)
class Usage:
    """What a tree used while it was watched. CPU in seconds by process name, memory in bytes."""

    cpu: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    peak_processes: int = 0

    @property
    def cpu_total(self) -> float:
        """CPU seconds of the whole tree, ended processes included."""
        return sum(self.cpu.values())


def read_stat(pid: int) -> Stat | None:
    """The facts of a process, or None once it is gone. proc(5): the name may hold any byte."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Stat(head.partition("(")[2], int(fields[1]), (int(fields[13]) + int(fields[14])) / _TICK)


def cpu_seconds(pid: int) -> float | None:
    """CPU seconds of a process and all its threads to the nanosecond, or None once it is gone.

    The clock clock_getcpuclockid(3) returns for `pid`; Linux forms its id this way.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def pss(pid: int) -> int:
    """Proportional set size in bytes: a page shared by n counts 1/n. 0 once the process is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line[:4] == "Pss:")


def cores_seconds() -> tuple[float, float]:
    """Since boot, on the cores this process may use: seconds they were busy, seconds of steal."""
    wanted = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    busy = stolen = 0.0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in wanted:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, ticks[:8])
            busy += (user + nice + system + irq + softirq) / _TICK
            stolen += steal / _TICK
    return busy, stolen


class Census:
    """Who is whose child. Reads each pid once, so that looking ten times a second stays cheap."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def below(self, root: int) -> set[int]:
        """`root` and every living descendant."""
        now = {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}
        for gone in self._parent.keys() - now:
            del self._parent[gone]
        for pid in now - self._parent.keys():
            if stat := read_stat(pid):
                self._parent[pid] = stat.parent
        return {pid for pid in self._parent if self._descends(pid, root)}

    def _descends(self, pid: int, root: int) -> bool:
        while pid > 1 and pid != root:
            pid = self._parent.get(pid, 0)
        return pid == root


class Meter:
    """Watches one tree from a thread of its own, from `start` to `stop`."""

    def __init__(self, root: int, name_of: Callable[[int], str]) -> None:
        self._root = root
        self._name_of = name_of
        self._census = Census()
        self._names: dict[int, str] = {}
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._seen: dict[int, int] = defaultdict(int)
        self._usage = Usage()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Takes the base line; what the tree used before does not count."""
        self._sample()
        self._first = dict(self._last)
        self._before = self._total()
        self._thread.start()

    def stop(self) -> Usage:
        """Takes the last reading. The total is exact but for /proc's 10 ms steps."""
        self._end.set()
        self._thread.join()
        self._sample()
        total = self._total() - self._before
        by_name: dict[str, float] = defaultdict(float)
        for pid, seconds in self._last.items():
            by_name[self._names[pid]] += seconds - self._first.get(pid, 0.0)
        by_name[UNSEEN] = max(total - sum(by_name.values()), 0.0)
        self._usage.cpu = {name: seconds for name, seconds in by_name.items() if seconds > 0}
        return self._usage

    def _watch(self) -> None:
        memory_due = time.monotonic()
        while not self._end.wait(SAMPLE_EVERY):
            pids = self._sample()
            if time.monotonic() >= memory_due:
                memory_due = time.monotonic() + MEMORY_EVERY
                self._usage.peak_memory = max(self._usage.peak_memory, sum(map(pss, pids)))

    def _sample(self) -> set[int]:
        pids = self._census.below(self._root)
        self._usage.peak_processes = max(self._usage.peak_processes, len(pids))
        for pid in pids:
            seconds = cpu_seconds(pid)
            if seconds is not None:
                self._last[pid] = seconds
                self._name(pid)
        return pids

    def _name(self, pid: int) -> None:
        self._seen[pid] += 1
        if self._seen[pid] <= _NEW:
            self._names[pid] = self._name_of(pid) or self._names.get(pid, "?")

    def _total(self) -> float:
        """CPU seconds of the living plus those of the dead their parents have waited for."""
        total = 0.0
        for pid in self._census.below(self._root):
            stat = read_stat(pid)
            total += (cpu_seconds(pid) or 0.0) + (stat.reaped if stat else 0.0)
        return total


def adopt_orphans() -> None:
    """Makes this process the parent of every orphan below it: a daemon cannot slip away.

    So "what this bench started" is always exactly "what descends from it" (prctl(2)).
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl PR_SET_CHILD_SUBREAPER")


def reap() -> None:
    """Collects ended orphans. Only while no subprocess is being waited for elsewhere."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_descendants(patience: float = 10.0) -> None:
    """Ends whatever descends from this process, by pid: SIGTERM, and SIGKILL after `patience` s."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in Census().below(os.getpid()) - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            reap()
            if Census().below(os.getpid()) == {os.getpid()}:
                return
            time.sleep(0.05)
