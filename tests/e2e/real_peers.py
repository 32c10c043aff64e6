"""Other people's servers on loopback, each for the length of a `with`, on ports of their own."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

STARTS_WITHIN = 20.0
POLL = 0.02


def free_port() -> int:
    """Nobody listens there now; a small race remains."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], ready: Callable[[], bool], log: Path, seconds: float = STARTS_WITHIN
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program in the foreground, from the time it is ready. AssertionError with its log."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        give_up = time.monotonic() + seconds
        while not ready():
            why = f"{command}: exit {process.poll()}: {log.read_text(errors='replace')[-2000:]}"
            assert process.poll() is None, why
            assert time.monotonic() < give_up, why
            time.sleep(POLL)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int, host: str = "127.0.0.1") -> Callable[[], bool]:
    """Whether somebody takes connections there, without making one (/proc/net/tcp)."""
    octets = socket.inet_aton(host)[::-1].hex().upper()
    wanted = {f"{octets}:{port:04X}", f"00000000:{port:04X}"}

    def there() -> bool:
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return any(row[1] in wanted and row[3] == "0A" for row in rows)

    return there
