"""Reads what follows DATA up to CRLF.CRLF (RFC 5321 4.5.2), in blocks. Pure: blocks in, body out.

Only the exact sequence ends a mail. A bare LF or CR anywhere is refused: a server behind us might
take it for a line end and find a second mail inside this one (SMTP smuggling, CVE-2023-51764 ff.).
"""

from collections.abc import Callable

from services.smtpd.budget import Budget, Share

END = b"\r\n.\r\n"
FIRST = b"\r\n"
STUFFED = b"\r\n."


class DataReader:
    """Collects a body of at most `limit` octets (0 = any); what is over is read, not kept."""

    def __init__(self, limit: int, share: Share | None = None) -> None:
        self._limit = limit
        self._share = share or Budget().share()
        # The end may come at once: it is looked for as if a CRLF stood before the body.
        self._kept = bytearray(FIRST)
        self._seen = 0
        self._stuffed = 0
        self.too_big = False
        self.no_room = False

    def feed(self, block: bytes) -> bytes | None:
        """Takes a block; once the end is in it, returns what the client sent after it."""
        self._kept += block
        end = self._kept.find(END, max(0, self._seen - len(END) + 1))
        rest = None
        if end >= 0:
            rest = bytes(self._kept[end + len(END) :])
            if end + len(STUFFED) <= self._seen:
                self._stuffed -= 1  # an earlier block ended in this dot: it stuffs nothing
            del self._kept[end + 2 :]
        self._check_size(slack=0 if end >= 0 else len(END))
        return rest

    def _check_size(self, *, slack: int) -> None:
        """Counts octets as they will be stored. `slack`: these may yet be part of the end."""
        self._stuffed += self._kept.count(STUFFED, max(0, self._seen - len(STUFFED) + 1))
        stored = len(self._kept) - len(FIRST) - self._stuffed
        if self._limit and stored > self._limit + slack:
            self.too_big = True
        if not self.dropped and not self._share.hold(stored):
            self.no_room = True
        if self.dropped:
            self._share.release()
            del self._kept[: -len(END)]
        self._seen = len(self._kept)

    @property
    def dropped(self) -> bool:
        """The rest is read up to its end, and nothing is kept."""
        return self.too_big or self.no_room

    def body(self) -> bytes:
        """The mail, with CRLF line ends and without the stuffed dots. What was read is let go."""
        kept, self._kept = self._kept, bytearray()
        if self._stuffed:
            kept = kept.replace(STUFFED, FIRST)
        with memoryview(kept) as view:
            return bytes(view[len(FIRST) :])

    @property
    def has_bare_line_ends(self) -> bool:
        """Whether a CR without LF or an LF without CR is in it. Not known where it was dropped."""
        if self.dropped:
            return False
        count: Callable[[bytes], int] = self._kept.count
        pairs = count(b"\r\n")
        return count(b"\n") != pairs or count(b"\r") != pairs
