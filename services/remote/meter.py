"""What is counted of sessions. It counts nothing itself: metering.py does."""

from typing import Protocol

from services.remote.connection import Opened


class Meter(Protocol):
    """Is told as things happen. It must cost next to nothing and never fail."""

    def connected(self, seconds: float) -> None:
        """A host took the connection, `seconds` after we asked for it."""
        ...

    def greeted(self, opened: Opened) -> None:
        """A session with a host began."""
        ...

    def mail(self, reused: bool, seconds: float) -> None:
        """A transaction ended, whatever its outcome; `reused`: not the session's first."""
        ...

    def failed(self, phase: str) -> None:
        """No session began: `connect` or `greeting` is where it ended."""
        ...


class Uncounted:
    """A Meter that counts nothing."""

    def connected(self, seconds: float) -> None:
        """See Meter."""

    def greeted(self, opened: Opened) -> None:
        """See Meter."""

    def mail(self, reused: bool, seconds: float) -> None:
        """See Meter."""

    def failed(self, phase: str) -> None:
        """See Meter."""
