"""A server's certificates, from files, and from the same files again when they have changed.

No restart and no signal: at a handshake, not more than about once a second, the files are looked
at. A changed pair that does not fit, or cannot be read, changes nothing but the log.
"""

import asyncio
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tubepost import certificate_names, maillog
from tubepost.certificate_names import Told
from tubepost.errors import BadInput
from tubepost.settings import TlsSettings

EVERY = 1.0
"""Seconds between two looks at the files."""

SHARE = 0.02
"""Of the time looks may take: thousands of files are looked at less often."""

DEFAULT = "default"

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"
"""Of TLS 1.2: forward secrecy always. CBC stays: a peer without GCM would send in the clear."""

OLD_CIPHERS = "DEFAULT:!aNULL:!eNULL:@SECLEVEL=0"
"""TLS 1.0 and 1.1 sign with MD5 and SHA-1, which OpenSSL 3 has on level 0 only."""


def server_tls(
    settings: TlsSettings, before_metrics: list[Callable[[], None]]
) -> ssl.SSLContext | None:
    """A server's TLS; None without a certificate. Raises BadInput where a pair is not one.

    `before_metrics`: /metrics looks at the files too, so that it tells of renewed ones.
    """
    if settings.tls_cert is None:
        if settings.tls_folder is None:
            return None
        raise BadInput("TUBEPOST_TLS_FOLDER needs TUBEPOST_TLS_CERT: not every client gives a name")
    default = Pair(DEFAULT, settings.tls_cert, settings.tls_key or settings.tls_cert)
    certificates = Certificates(
        default, folder=settings.tls_folder, old_clients=settings.tls_old_clients
    )
    before_metrics.append(certificates.look)
    return certificates.context


@dataclass(frozen=True, slots=True)
class Pair:
    """Certificate chain and key. `name`: DEFAULT, or the domain the files are named for."""

    name: str
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class _Loaded:
    context: ssl.SSLContext
    told: Told


Stamp = tuple[tuple[int, int, int], ...] | str
"""What changes when a file is written, replaced, or linked to another: Kubernetes does the last.

Text where a file cannot be looked at.
"""


class Certificates:
    """`context` serves the certificate that fits, whatever the files become.

    Raises BadInput where the default pair cannot be used or there is no such folder. Another pair
    that cannot be used is an error in the log: one customer's mistake does not stop the others.
    """

    def __init__(
        self,
        default: Pair,
        *,
        folder: Path | None = None,
        old_clients: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default, self._folder, self._old_clients = default, folder, old_clients
        self._clock = clock
        self._stamps: dict[Pair, Stamp] = {}
        self._folder_error = ""
        self._loaded = {default: _load(default, old_clients=old_clients)}
        self._stamps[default] = _stamp(default)
        self._renew(self._pairs_in_folder(), quiet=True)
        self._next = clock() + EVERY
        self.context = _bare_context(old_clients=old_clients)
        self.context.sni_callback = self._choose  # asked without a name, too

    def look(self) -> None:
        """Loads what has changed since the last look. Almost free where that was just now."""
        begin = self._clock()
        if begin < self._next:
            return
        try:
            pairs = self._pairs_in_folder()
        except BadInput as error:
            self._tell_of_folder(str(error))
        else:
            self._folder_error = ""
            self._renew(pairs)
        now = self._clock()
        self._next = now + max(EVERY, (now - begin) / SHARE)

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext
    ) -> None:
        """Called by OpenSSL with the client's first words."""
        self.look()
        found = certificate_names.find(self._index, name) if name else None
        connection.context = (found or self._loaded[self._default]).context

    def _tell_of_folder(self, error: str) -> None:
        if error != self._folder_error:
            maillog.certificate_refused(DEFAULT, str(self._folder), error)
        self._folder_error = error

    def _pairs_in_folder(self) -> list[Pair]:
        if self._folder is None:
            return []
        try:
            return list(_pairs(self._folder))
        except OSError as error:
            raise BadInput(f"TUBEPOST_TLS_FOLDER: {error}") from error

    def _renew(self, others: list[Pair], *, quiet: bool = False) -> None:
        pairs = [self._default, *others]
        changed = sum(self._renew_one(pair, quiet=quiet) for pair in pairs)
        gone = self._loaded.keys() - pairs
        for pair in gone:
            del self._loaded[pair]
        for pair in self._stamps.keys() - pairs:
            del self._stamps[pair]
        if changed or gone or quiet:
            loaded = self._loaded.items()
            self._index = certificate_names.by_name(
                (pair.name, one, one.told.names) for pair, one in loaded
            )
            maillog.certificates_in_force({p.name: one.told.expires for p, one in loaded})

    def _renew_one(self, pair: Pair, *, quiet: bool) -> bool:
        """Whether it was loaded anew. One complaint for each state of the files."""
        stamp = _stamp(pair)
        if stamp == self._stamps.get(pair):
            return False
        self._stamps[pair] = stamp
        try:
            self._loaded[pair] = _load(pair, old_clients=self._old_clients)
        except BadInput as error:
            maillog.certificate_refused(pair.name, str(pair.cert), str(error))
            return False
        if not quiet:
            told = self._loaded[pair].told
            maillog.certificate_loaded(pair.name, str(pair.cert), told.names, told.expires)
        return True


def _pairs(folder: Path) -> Iterator[Pair]:
    """`DOMAIN.crt` and `DOMAIN.key`, or a folder DOMAIN with `tls.crt` and `tls.key`.

    What begins with a dot is not ours: Kubernetes keeps the versions of a mounted secret there.
    """
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.suffix == ".crt":
            yield Pair(entry.stem, entry, entry.with_suffix(".key"))
        elif (entry / "tls.crt").exists():
            yield Pair(entry.name, entry / "tls.crt", entry / "tls.key")


def _stamp(pair: Pair) -> Stamp:
    try:
        found = [file.stat() for file in (pair.cert, pair.key)]
    except OSError as error:
        return str(error)
    return tuple((s.st_mtime_ns, s.st_ino, s.st_size) for s in found)


def _load(pair: Pair, *, old_clients: bool) -> _Loaded:
    """Raises BadInput."""
    context = _bare_context(old_clients=old_clients)
    try:
        told = certificate_names.told(pair.cert.read_bytes())
        pair.key.open().close()  # ssl does not say which file is missing
        context.load_cert_chain(pair.cert, pair.key, password=_no_password)
    except ssl.SSLError as error:
        why = f"the key is not one in PEM ({error.reason or 'unknown'})"
        if error.reason == "KEY_VALUES_MISMATCH":
            why = "the key does not belong to the certificate"
        raise BadInput(f"TLS: {pair.cert}, {pair.key}: {why}") from error
    except (OSError, BadInput) as error:
        raise BadInput(f"TLS: {pair.cert}, {pair.key}: {error}") from error
    return _Loaded(context, told)


def _no_password() -> str:
    raise BadInput("the key has a password; give one without")


def _bare_context(*, old_clients: bool) -> ssl.SSLContext:
    """Without a certificate. All have the same: OpenSSL takes the level from the chosen one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0: asked for by the operator
        oldest = ssl.TLSVersion.TLSv1 if old_clients else ssl.TLSVersion.TLSv1_2
        context.minimum_version = oldest
    context.set_ciphers(OLD_CIPHERS if old_clients else CIPHERS)
    return context


def described(connection: asyncio.BaseTransport | None) -> str:
    """What a connection is encrypted with, as a Received field says it; "" in the clear."""
    tls = connection.get_extra_info("ssl_object") if connection else None
    if tls is None:
        return ""
    name, _, bits = tls.cipher()
    return f"version={tls.version()} cipher={name} bits={bits}"
