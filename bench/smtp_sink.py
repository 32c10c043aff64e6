"""Postfix's smtp-sink, which takes mail and throws it away, and what it has counted so far.

It is the same for both systems, so what it costs is in neither column.
"""

import re
import subprocess
import threading
import time
from types import TracebackType

from bench.peers import BenchError
from bench.processes import cpu_seconds

SINK = "/usr/sbin/smtp-sink"
USER = "nobody"
"""Whom it runs as: smtp-sink refuses to take mail as root."""

BACKLOG = 1000
_COUNTS = re.compile(rb"sess=(\d+) quit=\d+ mesg=(\d+)")


class SmtpSink:
    """A sink on 127.0.0.1 for the length of a `with`. A thread reads its running counts (-c)."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails = self.connections = 0
        self.counted_at = 0.0
        """When the newest count was read, by the monotonic clock."""
        self._news = threading.Condition()
        command = [SINK, "-4", "-c", "-u", USER, f"127.0.0.1:{port}", str(BACKLOG)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "SmtpSink":
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        if self._process.stdout:
            self._process.stdout.close()

    @property
    def cpu(self) -> float:
        """CPU seconds it has used."""
        return cpu_seconds(self._process.pid) or 0.0

    def wait_for(self, mails: int, stalled: float) -> float:
        """The instant it had counted `mails`. BenchError where it counts none for `stalled` s."""
        with self._news:
            while self.mails < mails:
                if not self._news.wait(stalled):
                    raise BenchError(f"smtp-sink has {self.mails} of {mails}, and no more come")
            return self.counted_at

    def _read(self) -> None:
        """The counts end with a carriage return each; one cut in two is read with the next."""
        out, rest = self._process.stdout, b""
        while out and (data := out.read(4096)):
            whole, _, rest = (rest + data).rpartition(b"\r")
            if found := _COUNTS.findall(whole):
                self._count(*map(int, found[-1]))

    def _count(self, connections: int, mails: int) -> None:
        with self._news:
            self.connections = connections
            if mails != self.mails:
                self.mails, self.counted_at = mails, time.monotonic()
                self._news.notify_all()
