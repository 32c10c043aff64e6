"""Sessions with other hosts, kept open for the next mail.

It chooses no host and judges no mail: it has a session ready, or opens one.
"""

from collections.abc import Mapping

from services.remote.connection import Session, TryNext
from services.remote.mx import Host
from services.remote.terms import Terms
from services.remote.tls_fallbacks import Fallbacks
from tubepost.outcome import Outcome
from tubepost.record import Envelope


class Pool:
    """The sessions of one process."""

    def __init__(self) -> None:
        self._fallbacks = Fallbacks()

    async def send(
        self, host: Host, terms: Terms, envelope: Envelope, body: bytes
    ) -> Mapping[str, Outcome] | TryNext:
        """One mail to one host: an outcome for each recipient, or TryNext."""
        session = await Session.open(host, terms, self._fallbacks)
        if isinstance(session, TryNext):
            return session
        try:
            return await session.deliver(envelope, body)
        finally:
            session.close()
