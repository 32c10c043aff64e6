"""What stands in a certificate, and which of several is for a name that a client asks for. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from tubepost.errors import BadInput

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """`names`: hosts it is for, in lower case, `*.` in front where it is for all below.

    `expires`: seconds since 1970. `issuer`: who signed it, as it calls itself.
    """

    names: tuple[str, ...]
    expires: float
    issuer: str = ""


def told(pem: bytes) -> Told:
    """Of the first certificate of a chain in PEM. Raises BadInput."""
    try:
        return _told(x509.load_pem_x509_certificate(pem))
    except (ValueError, x509.DuplicateExtension) as error:
        raise BadInput("it is not a certificate in PEM") from error


def told_der(der: bytes) -> Told:
    """Of a certificate as it comes over the wire. Raises BadInput."""
    try:
        return _told(x509.load_der_x509_certificate(der))
    except (ValueError, x509.DuplicateExtension) as error:
        raise BadInput("it is not a certificate in DER") from error


def _told(found: x509.Certificate) -> Told:
    names = _alternative_names(found) or _common_names(found)
    issuer = found.issuer.rfc4514_string()
    return Told(tuple(map(plain, names)), found.not_valid_after_utc.timestamp(), issuer)


def _alternative_names(found: x509.Certificate) -> list[str]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _common_names(found: x509.Certificate) -> list[str]:
    """Only where there are no alternative names (RFC 6125 6.4.4)."""
    return [str(n.value) for n in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def plain(name: str) -> str:
    return name.lower().rstrip(".")


def by_name(pairs: Iterable[tuple[str, T, Iterable[str]]]) -> dict[str, T]:
    """Index of (name of the files, thing, names in the certificate).

    The files' names rule: what stands in a certificate cannot take a name from another's file.
    """
    pairs = list(pairs)
    index = {plain(own): thing for own, thing, _ in pairs}
    for _, thing, names in pairs:
        for name in names:
            index.setdefault(name, thing)
    return index


def find(index: Mapping[str, T], name: str) -> T | None:
    """The one for exactly this name, else for all names below its domain (RFC 6125 6.4.3)."""
    name = plain(name)
    return index.get(name) or index.get("*." + name.partition(".")[2])
