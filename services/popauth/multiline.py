"""The body of a POP3 multi-line response, made from the bytes of a message file. Pure.

Disk to wire only: it must not read the file, and it never looks at what a line means.
"""


class Multiline:
    """A message file as the body of a multi-line response (RFC 1939 section 3), block by block.

    Line ends become CRLF whatever they were, dots are stuffed, a missing last line end is added.
    `lines` cuts after that many lines of the body, for TOP; then `complete` says to stop reading.
    """

    def __init__(self, lines: int | None = None) -> None:
        self.complete = False
        self._left = lines
        self._in_header = True
        self._held = b""  # a CR at the end of a block: the LF may be in the next one
        self._line_start = True

    def feed(self, block: bytes) -> bytes:
        """The wire form of the next bytes of the file."""
        data = self._held + block
        self._held = b"\r" if data.endswith(b"\r") else b""
        text = data.removesuffix(b"\r").replace(b"\r\n", b"\n")
        return self._wire(text if self._left is None else self._wanted(text))

    def finish(self) -> bytes:
        """The end of the response. A file with no byte in it stays without a line."""
        rest = b"" if self.complete else self._wire(self._held)
        return rest + (b".\r\n" if self._line_start else b"\r\n.\r\n")

    def _wire(self, text: bytes) -> bytes:
        if not text:
            return b""
        stuffed = text.replace(b"\n.", b"\n..")
        if self._line_start and text.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_start = text.endswith(b"\n")
        return stuffed.replace(b"\n", b"\r\n")

    def _wanted(self, text: bytes) -> bytes:
        """The part of `text` that TOP still wants."""
        position = 0
        while not self.complete:
            newline = text.find(b"\n", position)
            if newline < 0:
                return text
            empty = newline == position and (position > 0 or self._line_start)
            position = newline + 1
            self._count(empty)
        return text[:position]

    def _count(self, empty: bool) -> None:
        if not self._in_header:
            self._left = (self._left or 0) - 1
        elif empty:
            self._in_header = False
        self.complete = not self._in_header and self._left == 0
