"""How often processes wait for the disk: fsync and its kin, counted by `strace -c`."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from bench.peers import BenchError

CALLS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "sync")
ATTACHED_WITHIN = 30.0


class Count:
    """Of some processes and the children they start, from the construction to `end`."""

    def __init__(self, pids: Iterable[int], table: Path) -> None:
        if not shutil.which("strace"):
            raise BenchError("strace is missing: install Debian's package `strace`")
        self._table = table
        attach = [word for pid in sorted(pids) for word in ("-p", str(pid))]
        said = table.with_suffix(".said")
        with said.open("wb") as err:
            self._process = subprocess.Popen(
                ["strace", "-f", "-c", "-e", f"trace={','.join(CALLS)}", "-o", table, *attach],
                stderr=err,
            )
        give_up = time.monotonic() + ATTACHED_WITHIN
        while said.read_text().count("attached") < len(attach) // 2:
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise BenchError(f"strace: {said.read_text()}")
            time.sleep(0.05)

    def end(self) -> dict[str, int]:
        """Calls by name."""
        os.kill(self._process.pid, signal.SIGINT)
        self._process.wait()
        found = {}
        for line in self._table.read_text().splitlines():
            words = line.split()
            if words and words[-1] in CALLS:
                found[words[-1]] = int(words[3])
        return found
