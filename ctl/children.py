"""Child processes of `tubepost up`: started, watched, started again when they end too soon.

A child does not outlive its parent: the kernel ends it (PR_SET_PDEATHSIG), and it holds the data
folder's lock until it is gone, so that the next `tubepost up` waits for it.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping

from tubepost import maillog
from tubepost.errors import TubepostError

PR_SET_PDEATHSIG = 1
PAUSE = 0.5
"""Seconds before a child that ended is started again."""


class ChildFailed(TubepostError):
    """A child ended before it was ready."""


def _die_with_parent() -> None:
    """Runs in the child between fork and exec. Everything we run can bear a kill at any moment."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One child. `environment` is asked at each start; `lock` is the descriptor it inherits.

    `after`: what it waits for before its first start. `speaks`: it writes a line of JSON to
    TUBEPOST_READY_FD when it is ready (runtime does).
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        lock: int,
        environment: Callable[[], Mapping[str, str]] = dict,
        speaks: bool = True,
        after: asyncio.Event | None = None,
    ) -> None:
        self.name, self._command, self._environment = name, command, environment
        self._lock, self._speaks, self._after = lock, speaks, after
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self.ready = asyncio.Event()
        self.said: dict[str, str] = {}
        """What a service told when it was ready: names and HOST:PORT."""

    async def run(self) -> None:
        """Keeps it running until `stop`. Raises ChildFailed where it never got ready."""
        if self._after is not None:
            await self._after.wait()
        while not self._stopping:
            process = await self._start()
            code = await process.wait()
            if self._stopping:
                return
            maillog.child_ended(self.name, code)
            if not self.ready.is_set():
                raise ChildFailed(f"{self.name} ended with code {code} before it was ready")
            await asyncio.sleep(PAUSE)

    async def _start(self) -> asyncio.subprocess.Process:
        if not self._speaks:
            self._process = await self._spawn({}, ())
            self.ready.set()
            return self._process
        reading, writing = os.pipe()
        try:
            self._process = await self._spawn({"TUBEPOST_READY_FD": str(writing)}, (writing,))
        finally:
            os.close(writing)
        with os.fdopen(reading) as pipe:
            line = await asyncio.to_thread(pipe.readline)
        if line:  # empty: it ended; `run` sees why
            self.said = json.loads(line)
            self.ready.set()
        return self._process

    async def _spawn(
        self, more: Mapping[str, str], descriptors: tuple[int, ...]
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, **self._environment(), **more},
            pass_fds=(*descriptors, self._lock),
            preexec_fn=_die_with_parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,  # Ctrl-C is for the parent, which stops them in order
        )

    async def stop(self, patience: float) -> None:
        """SIGTERM, and SIGKILL after `patience` seconds."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(patience):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
