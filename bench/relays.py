"""Tubepost and Postfix as relays: mail comes in by SMTP and goes on to one other host.

Must not measure anything.
"""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from bench.peers import BenchError, Peer, run
from bench.platform import Platform
from bench.postfix import SBIN, PostfixPeer

AWAY = "away.example"
"""The domain of the other host. Neither system knows it as its own."""

HELD = "held"
"""The local part whose mail stays in the queue until it is released."""


class Relay(Peer):
    """A mail system that relays all it gets to `next_hop`."""

    next_hop: int
    """Port on 127.0.0.1."""

    @abstractmethod
    def hold(self) -> None:
        """From now on mail to HELD is accepted and stays in the queue."""

    @abstractmethod
    def unlock(self) -> None:
        """What a release takes beforehand; not timed."""

    @abstractmethod
    def release(self) -> None:
        """Held mail goes out from now on."""


class TubepostRelay(Platform, Relay):
    """A route for every domain; held by a pause of the channel."""

    def __init__(
        self, folder: Path, next_hop: int, command: str, settings: Sequence[str] = ()
    ) -> None:
        """`settings`: control settings, `NAME=LINE` each."""
        super().__init__(folder / "tubepost", [], command)
        self.next_hop, self._settings = next_hop, settings

    def start(self) -> None:
        """Relays for any client on loopback."""
        self.launch()
        self.set("smtproutes", f":127.0.0.1:{self.next_hop}")
        self.set("tcprules", '127.:allow,RELAYCLIENT=""')
        for setting in self._settings:
            name, _, line = setting.partition("=")
            self.set(name, line)

    def hold(self) -> None:
        """See Relay."""
        self.tubepost("queue", "pause", "remote")

    def unlock(self) -> None:
        """Nothing."""

    def release(self) -> None:
        """By the API: the command takes half a second to start."""
        with self.client() as client:
            answer = client.delete("/v1/pauses/remote")
        if answer.is_error:
            raise BenchError(f"DELETE /v1/pauses/remote: {answer.status_code} {answer.text}")


class PostfixRelay(PostfixPeer, Relay):
    """relayhost; mail to HELD goes into the hold queue. Everything else is Postfix's default."""

    def __init__(self, folder: Path, next_hop: int, settings: Sequence[str] = ()) -> None:
        held = f"inline:{{ {HELD}@{AWAY}=HOLD }}"
        relaying = [
            f"relayhost = [127.0.0.1]:{next_hop}",
            f"smtpd_recipient_restrictions = check_recipient_access {held}",
        ]
        super().__init__(folder, [], [*relaying, *settings])
        self.next_hop = next_hop

    def hold(self) -> None:
        """Nothing: its address has it held."""

    def unlock(self) -> None:
        """Renames the files from `hold` to `deferred`, which the queue manager does not watch."""
        run([f"{SBIN}/postsuper", "-c", self.folder / "etc", "-H", "ALL"])

    def release(self) -> None:
        """The queue manager reads `deferred`."""
        run([f"{SBIN}/postqueue", "-c", self.folder / "etc", "-f"])


def defaults() -> str:
    """What Postfix says of its limits and its connection cache, all at their defaults."""
    names = (
        "default_destination_concurrency_limit",
        "initial_destination_concurrency",
        "default_process_limit",
        "smtp_connection_cache_on_demand",
        "smtp_connection_reuse_time_limit",
    )
    lines = run([f"{SBIN}/postconf", "-d", *names]).splitlines()
    return ", ".join(line.replace(" = ", "=") for line in lines)
