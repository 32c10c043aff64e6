"""Whether a host would do for level `verify`: for operators, at whatever level mail goes to it.

It sends no mail, and no login: the session it opens ends after the greeting.
"""

from dataclasses import replace

from services.remote.connection import Session
from services.remote.mx import Host
from services.remote.terms import Terms
from tubepost.tls_policy import Level, TlsPolicy


async def distrust(host: Host, terms: Terms, names: tuple[str, ...] = ()) -> str:
    """Why not, in a sentence; "" where it would. `names`: as in TlsPolicy.

    It takes a connection of its own: OpenSSL ends a handshake that it does not believe.
    """
    strict = TlsPolicy(Level.VERIFY, names, implicit=terms.tls.implicit)
    session = await Session.open(host, replace(terms, tls=strict, login=None))
    if isinstance(session, Session):
        session.close()
        return ""
    return session.reason
