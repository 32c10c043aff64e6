"""Child processes of a chaos run: started, killed, started again, watched for ends of their own.

Linux only. A child does not outlive the runner: the kernel ends it (PR_SET_PDEATHSIG).
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tubepost.errors import TubepostError

PR_SET_PDEATHSIG = 1
PAUSE = 0.5
"""Seconds before a process that ended by itself is started again."""


class NotReady(TubepostError):
    """A process did not become ready in time, or ended before."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process ended though nobody had killed or stopped it."""

    name: str
    at: float
    code: int


def _die_with_parent() -> None:
    """Runs in the child between fork and exec."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One process, again and again. `environment` is asked at each start.

    `speaks`: it writes a line of JSON to TUBEPOST_READY_FD when it is ready (tubepost.runtime).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Callable[[], Mapping[str, str]] = dict,
        speaks: bool = True,
    ) -> None:
        self.name, self._command, self._log = name, command, log
        self._environment, self._speaks = environment, speaks
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._expected_to_end = False
        self.ready = asyncio.Event()
        self.said: dict[str, str] = {}
        """What a service told when it was ready: names and HOST:PORT. Empty while it is not."""
        self.ended: list[Ended] = []

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Returns at once; `ready` is set later."""
        self._expected_to_end = False
        reading, writing = os.pipe()
        with self._log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    env={**os.environ, **self._environment(), "TUBEPOST_READY_FD": str(writing)},
                    pass_fds=(writing,),
                    preexec_fn=_die_with_parent,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            finally:
                os.close(writing)
        self._watch = asyncio.create_task(self._watched(self._process, reading))

    async def _watched(self, process: asyncio.subprocess.Process, reading: int) -> None:
        """Hears the ready line, and starts again what ends by itself."""
        line = await _first_line(reading)
        if self._speaks and line:
            self.said = json.loads(line)
        if line or not self._speaks:
            self.ready.set()
        code = await process.wait()
        self.ready.clear()
        self.said = {}
        if not self._expected_to_end:
            self.ended.append(Ended(self.name, time.time(), code))
            await asyncio.sleep(PAUSE)
            if not self._expected_to_end:
                await self.start()

    async def wait_ready(self, seconds: float) -> None:
        """Raises NotReady."""
        try:
            async with asyncio.timeout(seconds):
                await self.ready.wait()
        except TimeoutError:
            raise NotReady(f"{self.name} was not ready after {seconds:g} s: {self._log}") from None

    async def kill(self) -> None:
        """kill -9; returns when it is gone."""
        await self._end(signal.SIGKILL, 10)

    async def stop(self, patience: float) -> int:
        """SIGTERM, and SIGKILL after `patience` seconds; the exit code."""
        with contextlib.suppress(TimeoutError):
            return await self._end(signal.SIGTERM, patience)
        return await self._end(signal.SIGKILL, 10)

    async def _end(self, number: int, patience: float) -> int:
        self._expected_to_end = True
        process = self._process
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        async with asyncio.timeout(patience):
            code = await process.wait()
        if self._watch:
            await self._watch
        return code


async def _first_line(reading: int) -> bytes:
    """The first line of a pipe; empty where its other end was closed before."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(reading, "rb")
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        return await reader.readline()
    finally:
        transport.close()
