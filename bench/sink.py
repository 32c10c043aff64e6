"""Another host that takes mail: quick, slow or mute. `python -m bench.sink`, a process of its own.

Writes a line `marker seconds-since-1970` for each mail with an X-Bench field. It keeps no mail.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

MARKER = b"X-Bench: "


class Session(asyncio.Protocol):
    """One client. Answers every command with 250, and the final dot after `delay` seconds."""

    def __init__(self, delay: float, receipts: TextIO, *, mute: bool) -> None:
        self._delay, self._receipts, self._mute = delay, receipts, mute
        self._buffer = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say(b"220 sink.example ESMTP")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._take():
            pass

    def _take(self) -> bool:
        """Handles one command, or the whole text of a mail; False where more has to come."""
        end = b"\r\n.\r\n" if self._in_data else b"\r\n"
        found, separator, rest = self._buffer.partition(end)
        if not separator:
            return False
        self._buffer = rest
        if self._in_data:
            self._in_data = False
            asyncio.get_running_loop().call_later(self._delay, self._took, found)
        else:
            self._command(found[:4].upper())
        return True

    def _command(self, verb: bytes) -> None:
        if verb == b"DATA":
            self._in_data = True
            self._say(b"354 go on")
        elif verb == b"QUIT":
            self._say(b"221 bye")
            self._transport.close()
        elif verb == b"EHLO":
            self._say(b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME")
        else:
            self._say(b"250 ok")

    def _took(self, mail: bytes) -> None:
        now = time.time()
        self._say(b"250 taken")
        _, found, rest = mail.partition(MARKER)
        if found:
            marker = rest.partition(b"\r\n")[0].decode()
            self._receipts.write(f"{marker} {now:.6f}\n")
            self._receipts.flush()

    def _say(self, line: bytes) -> None:
        if not self._mute:
            self._transport.write(line + b"\r\n")


async def serve(delay: float, receipts: Path, *, mute: bool) -> None:
    """Until it is ended. Prints its port."""
    loop = asyncio.get_running_loop()
    with receipts.open("a") as file:
        server = await loop.create_server(
            lambda: Session(delay, file, mute=mute), "127.0.0.1", 0, backlog=1000
        )
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


class Sink:
    """A sink in a process of its own, for the length of a `with`."""

    def __init__(self, receipts: Path, *, delay: float = 0.0, mute: bool = False) -> None:
        self.receipts = receipts
        more = ["--mute"] if mute else []
        command = [sys.executable, "-m", "bench.sink", "--receipts", str(receipts)]
        self._process = subprocess.Popen(
            [*command, "--delay", str(delay), *more], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def received(self) -> dict[str, float]:
        """Marker -> when the mail was taken, seconds since 1970; the first time where repeated."""
        found: dict[str, float] = {}
        for line in self.receipts.read_text().splitlines():
            marker, _, when = line.partition(" ")
            found.setdefault(marker, float(when))
        return found


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="bench.sink", description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each 250")
    parser.add_argument("--mute", action="store_true", help="take connections, never answer")
    parser.add_argument("--receipts", type=Path, required=True)
    chosen = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(chosen.delay, chosen.receipts, mute=chosen.mute))


if __name__ == "__main__":
    main()
