"""TLS as a client: contexts, what a handshake came to, and in words why it failed.

It opens no connection and makes no choice between TLS and clear text: that is connection's.
"""

import re
import ssl
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import cast

from services.remote import peer_names
from services.remote.mx import Host
from services.remote.peer_names import Presented
from tubepost.errors import BadInput
from tubepost.outcome import one_line
from tubepost.tls_policy import Level, TlsPolicy

NOT_OFFERED = "4.7.4"
"""RFC 3463: security features not supported."""

FAILED = "4.7.5"
"""RFC 3463: cryptographic failure."""

LAX_CIPHERS = "DEFAULT:@SECLEVEL=0"
"""A short DH key or an old signature hides more than clear text does (RFC 7435 3)."""

_OLD_PEERS = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT, which ssl names from Python 3.12 on: no RFC 5746."""

MAX_NAME = 253
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")

_PROBLEMS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "comes from an authority that is not trusted here",
    20: "comes from an authority that is not trusted here",
    21: "comes without those of its authorities, or from one that is not trusted here",
    23: "is revoked",
}
"""By OpenSSL's X509_V_ERR numbers."""


@dataclass(frozen=True, slots=True)
class TlsProblem:
    """Why there is no TLS, or none as the policy wants it. `text`: goes on after `but`.

    `reason`: in one word, for metrics: missing, refused, lost, handshake, timeout, certificate.
    """

    text: str
    reason: str
    status: str = FAILED


LOST = TlsProblem("the connection died while TLS began", "lost")


def refusal(reply: str) -> TlsProblem:
    """`reply`: to STARTTLS, "" where it could not be said."""
    if reply:
        return TlsProblem(f"it refused STARTTLS: {reply}", "refused", NOT_OFFERED)
    return TlsProblem("it offers no TLS, which its policy here demands", "missing", NOT_OFFERED)


class TlsError(Exception):
    """A session ends here for want of TLS; whether another one may do without is open's to say."""

    def __init__(self, problem: TlsProblem) -> None:
        super().__init__(problem.text)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Secured:
    """What a handshake came to. `certificate`: the peer's, DER; `verified`: for the policy."""

    version: str
    cipher: str
    certificate: bytes
    verified: bool


@cache
def context(level: Level, ca_file: str = "") -> ssl.SSLContext:
    """Made once for each level. `ca_file`: trusted authorities, PEM; "" for the system's.

    TLS 1.2 is the least at every level: RFC 8996 has older ones be no better than clear text.
    Raises BadInput for a file that is none.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False  # `secured` does: several names, and those below one
    if level is Level.VERIFY:
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what is in the file is trusted
        _trust(made, ca_file)
        return made
    made.verify_mode = ssl.CERT_NONE
    if level is Level.MAY:
        made.set_ciphers(LAX_CIPHERS)
        made.options |= _OLD_PEERS
    return made


def _trust(made: ssl.SSLContext, ca_file: str) -> None:
    if not ca_file:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        made.load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one of them
        raise BadInput(f"TUBEPOST_CA_FILE: {ca_file}: {error.strerror or error}") from error


def server_name(host: Host) -> str:
    """What the peer is told by SNI: "" for an address, and what is no host name (RFC 6066 3).

    A zone may name a host as it likes; the handshake must not fail for it.
    """
    try:
        ip_address(host.name)
    except ValueError:
        name = host.name.rstrip(".")
        return name if len(name) <= MAX_NAME and _HOST_NAME.fullmatch(name) else ""
    return ""


def secured(connection: ssl.SSLObject, policy: TlsPolicy, host: Host) -> Secured:
    """After the handshake. Raises TlsError where the certificate is for another name."""
    verify = policy.level is Level.VERIFY
    if verify:
        _check_names(connection, policy.names or (host.name.rstrip("."),))
    cipher = connection.cipher()
    return Secured(
        version=connection.version() or "",
        cipher=cipher[0] if cipher else "",
        certificate=connection.getpeercert(binary_form=True) or b"",
        verified=verify,
    )


def _check_names(connection: ssl.SSLObject, wanted: tuple[str, ...]) -> None:
    found = connection.getpeercert() or {}
    presented = cast(Presented, found.get("subjectAltName", ()))
    if not peer_names.covers(presented, wanted):
        text = f"its certificate is for {peer_names.told(presented)}, not for {_either(wanted)}"
        raise TlsError(TlsProblem(text, "certificate"))


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"a host below {n[1:]}" if n.startswith(".") else n for n in names)


def failure(error: OSError | ValueError) -> TlsProblem:
    """What ended a handshake, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _PROBLEMS.get(error.verify_code)
        problem = known or f"is not to be trusted ({one_line(error.verify_message, 100)})"
        return TlsProblem(f"its certificate {problem}", "certificate")
    if isinstance(error, TimeoutError):
        return TlsProblem("the TLS handshake timed out", "timeout")
    if isinstance(error, ssl.SSLError) and error.reason:
        words = error.reason.lower().replace("_", " ")
        return TlsProblem(f"the TLS handshake failed: {words}", "handshake")
    if isinstance(error, ValueError | ssl.SSLError):  # ValueError: a name that SNI cannot carry
        return TlsProblem(f"the TLS handshake failed: {one_line(str(error), 100)}", "handshake")
    return TlsProblem("the connection died in the TLS handshake", "lost")
