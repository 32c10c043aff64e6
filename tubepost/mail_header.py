"""The header of a mail as octets: its fields, in order, and what stands behind them. Pure.

Nothing is decoded and nothing is folded anew: what is not taken out goes on as it was written.
Line ends are LF here, as in a file. Source: RFC 5322 2.2.
"""

import re
from dataclasses import dataclass

from tubepost.errors import BadInput

_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")


@dataclass(frozen=True, slots=True)
class Field:
    """`name` in lower case; `octets`: the whole field, folded as it was, with its last LF."""

    name: bytes
    octets: bytes

    @property
    def value(self) -> bytes:
        return self.octets.partition(b":")[2].strip()


@dataclass(frozen=True, slots=True)
class Parts:
    """A mail taken apart. `body` begins behind the empty line."""

    fields: tuple[Field, ...]
    body: bytes

    def has(self, *names: bytes) -> bool:
        return any(field.name in names for field in self.fields)

    def joined(self) -> bytes:
        return b"".join(field.octets for field in self.fields) + b"\n" + self.body


def unix_form(text: bytes) -> bytes:
    """LF line ends. Raises BadInput for a CR that ends no line, and for no mail at all."""
    unix = text.replace(b"\r\n", b"\n")
    if b"\r" in unix:
        raise BadInput("the mail has a CR that ends no line")
    if not unix:
        raise BadInput("the mail is empty")
    return unix


def parts(text: bytes) -> Parts:
    """Takes a mail with LF line ends apart. A line that is no field begins the body.

    So does a line of nothing but blanks: what stands behind it must not become a field elsewhere.
    """
    fields: list[Field] = []
    name, begin, at = b"", 0, 0
    while at < len(text):
        end = text.find(b"\n", at) + 1 or len(text)
        line = text[at:end]
        found = _NAME.match(line)
        is_more = bool(name) and line[:1] in (b" ", b"\t") and bool(line.strip())
        if not is_more:
            if name:  # only now: a field put together line by line costs the square of its lines
                fields.append(Field(name, text[begin:at]))
            if not found:
                return Parts(tuple(fields), text[end:] if not line.strip() else text[at:])
            name, begin = found[1].lower(), at
        at = end
    return Parts((*fields, Field(name, text[begin:])) if name else (), b"")
