"""Reads what follows DATA up to CRLF.CRLF (RFC 5321 4.5.2), in blocks. Pure: blocks in, body out.

Only the exact sequence ends a mail. A bare LF or CR anywhere is refused: a server behind us might
take it for a line end and find a second mail inside this one (SMTP smuggling, CVE-2023-51764 ff.).
"""

from collections.abc import Callable

END = b"\r\n.\r\n"


class DataReader:
    """Collects a body of at most `limit` octets (0 = any); what is over is read, not kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The end may come at once: it is looked for as if a CRLF stood before the body.
        self._kept = bytearray(b"\r\n")
        self._searched = 0
        self.too_big = False

    def feed(self, block: bytes) -> bytes | None:
        """Takes a block; once the end is in it, returns what the client sent after it."""
        self._kept += block
        end = self._kept.find(END, self._searched)
        if end >= 0:
            rest = bytes(self._kept[end + len(END) :])
            del self._kept[end + 2 :]
            self._check_size()
            return rest
        self._check_size()
        self._searched = max(0, len(self._kept) - len(END) + 1)
        return None

    def _check_size(self) -> None:
        if self._limit and len(self._kept) - 2 > self._limit:
            self.too_big = True
        if self.too_big:
            del self._kept[: -len(END)]

    def body(self) -> bytes:
        """The mail, with CRLF line ends and without the stuffed dots."""
        return bytes(self._kept.replace(b"\r\n.", b"\r\n"))[2:]

    @property
    def has_bare_line_ends(self) -> bool:
        """Whether a CR without LF or an LF without CR is in it. Not known where it is too big."""
        if self.too_big:
            return False
        count: Callable[[bytes], int] = self._kept.count
        pairs = count(b"\r\n")
        return count(b"\n") != pairs or count(b"\r") != pairs
