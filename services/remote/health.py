"""Which hosts are not worth a connection now, because one failed a moment ago (qmail's tcpto)."""

from typing import Protocol

from services.remote.mx import Host


class Health(Protocol):
    """What is known of hosts. It is asked and told before and after each connection: no waiting."""

    def why_not(self, host: Host) -> str:
        """Why `host` is passed over now, "" where it is not."""
        ...

    def failed(self, host: Host, why: str) -> None:
        """It refused the connection, did not answer, or its greeting was no welcome."""
        ...

    def answered(self, host: Host) -> None:
        """It greeted us."""
        ...


class Unknown:
    """A Health that knows nothing."""

    def why_not(self, host: Host) -> str:
        """See Health."""
        return ""

    def failed(self, host: Host, why: str) -> None:
        """See Health."""

    def answered(self, host: Host) -> None:
        """See Health."""
