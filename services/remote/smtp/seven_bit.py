"""A mail for a peer without 8BITMIME: parts that need eight bits become quoted-printable. Pure.

RFC 6152 3 leaves that choice or a bounce; qmail sends the octets as they are. All or nothing: what
cannot be made seven bits wide as a whole (octets in a header, a signed part, MIME that two readers
could read in two ways) goes out untouched, because half a conversion would break a DKIM signature
and help nobody. Every octet outside the parts in question and their Content-Transfer-Encoding stays
as it is (RFC 2045 6, RFC 2046 5.1).
"""

import re
from binascii import b2a_qp
from collections.abc import Iterator
from typing import NamedTuple

MAX_DEPTH = 10
"""Parts within parts. Each level reads its octets once more."""

SLICE = 64 * 1024
MAX_LINE = 1 << 20
"""Octets of a line of text; RFC 5321 4.5.3.1.6 allows 1000."""

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:.*\r\n)(?:[ \t].*\r\n)*)")
_TYPE = re.compile(rb"\s*([!-'*+.0-9A-Z^_`a-z{|}~-]+/[!-'*+.0-9A-Z^_`a-z{|}~-]+)\s*(?:;|$)")
_BOUNDARY = re.compile(rb";\s*boundary\s*=\s*(?:\"([^\"\\]*)\"|([^\s;\"()]+))\s*(?=;|$)", re.I)
_QUOTED = re.compile(rb'"[^"\\]*"')
_CTE = b"content-transfer-encoding"
_IDENTITY = (b"", b"7bit", b"8bit")


class _Unclear(Exception):
    """This cannot be converted, or not by a reader as simple as this one."""


class _Entity(NamedTuple):
    """A mail or a part. `fields`: the places of the fields that matter in `header`, by name."""

    header: bytes
    content: bytes
    kind: bytes
    type_value: bytes
    encoding: bytes
    encoding_at: tuple[int, int]


def as_seven_bit(body: bytes) -> bytes:
    """`body`, which has CRLF line ends, or the same mail in seven bits where that can be done."""
    try:
        converted = _converted(body, b"text/plain", (), mail=True)
    except _Unclear:
        return body
    return converted if converted.isascii() else body


def _converted(
    octets: bytes, default: bytes, boundaries: tuple[bytes, ...], *, mail: bool = False
) -> bytes:
    """`default`: its type where it names none; `boundaries`: of all that it is within."""
    if octets.isascii():
        return octets
    if len(boundaries) > MAX_DEPTH:
        raise _Unclear
    entity = _entity(octets, default, mail=mail)
    if entity.encoding not in _IDENTITY or entity.content.isascii():
        return octets
    if entity.kind in (b"multipart/signed", b"multipart/encrypted"):
        raise _Unclear  # RFC 1847 2.1: what is signed may not be changed
    if entity.kind.startswith(b"multipart/"):
        return _encoded_as(b"7bit", entity) + _converted_parts(entity, boundaries)
    if entity.kind == b"message/rfc822":
        inner = _converted(entity.content, b"text/plain", (*boundaries, b""), mail=True)
        return _encoded_as(b"7bit", entity) + inner
    if entity.kind.startswith(b"message/"):
        raise _Unclear
    return _encoded_as(b"quoted-printable", entity) + _quoted(entity.content, boundaries)


def _entity(octets: bytes, default: bytes, *, mail: bool) -> _Entity:
    header, content = _split(octets)
    found: dict[bytes, tuple[bytes, tuple[int, int]]] = {}
    for name, value, place in _fields(header):
        if name in found and name in (_CTE, b"content-type", b"mime-version"):
            raise _Unclear  # which one counts?
        found[name] = value, place
    if mail and b"mime-version" not in found:
        raise _Unclear  # octets without MIME mean nothing, RFC 2045 4
    type_value, _ = found.get(b"content-type", (default, (0, 0)))
    kind = _TYPE.match(type_value)
    if kind is None:
        raise _Unclear
    encoding, place = found.get(_CTE, (b"", (len(header), len(header))))
    return _Entity(header, content, kind[1].lower(), type_value, encoding.lower(), place)


def _split(octets: bytes) -> tuple[bytes, bytes]:
    """The fields with their line ends, and all from the empty line on, without it."""
    if octets.startswith(b"\r\n"):
        return b"", octets[2:]
    header, gap, content = octets.partition(b"\r\n\r\n")
    if not gap:
        raise _Unclear
    return header + b"\r\n", content


def _fields(header: bytes) -> Iterator[tuple[bytes, bytes, tuple[int, int]]]:
    at = 0
    while at < len(header):
        field = _FIELD.match(header, at)
        if field is None:
            raise _Unclear
        at = field.end()
        yield field[1].lower(), field[2].replace(b"\r\n", b"").strip(b" \t"), field.span()


def _encoded_as(encoding: bytes, entity: _Entity) -> bytes:
    """The header with this Content-Transfer-Encoding, and the empty line."""
    header, (begin, end) = entity.header, entity.encoding_at
    if encoding == b"7bit" and entity.encoding != b"8bit":
        return header + b"\r\n"
    field = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return header[:begin] + field + header[end:] + b"\r\n"


def _converted_parts(entity: _Entity, boundaries: tuple[bytes, ...]) -> bytes:
    boundary = _boundary(entity.type_value)
    default = b"message/rfc822" if entity.kind == b"multipart/digest" else b"text/plain"
    out, content, begin = [], entity.content, -1
    for line in _delimiters(content, boundary):
        end = max(begin, line.start() - 2)  # the CRLF before a delimiter belongs to it
        if begin >= 0:
            part = _converted(content[begin:end], default, (*boundaries, boundary))
            out += [part, content[end : line.start()]]
        else:
            out.append(content[: line.start()])
        begin = min(line.end() + 1, len(content))
        out.append(content[line.start() : begin])
        if line[1]:
            return b"".join(out) + content[begin:]
    raise _Unclear  # its end is missing


def _delimiters(content: bytes, boundary: bytes) -> Iterator[re.Match[bytes]]:
    """The lines that begin or end a part; an expression that looked at all lines would be slow."""
    line = re.compile(b"--" + re.escape(boundary) + rb"(--)?[ \t]*\r$", re.MULTILINE)
    at = -1
    while True:
        if found := line.match(content, at + 1):
            yield found
        at = content.find(b"\n--" + boundary, at + 1)
        if at < 0:
            return


def _boundary(type_value: bytes) -> bytes:
    """RFC 2046 5.1.1. One that is written in a way that readers differ about is none."""
    found = _BOUNDARY.findall(type_value)
    bare = _QUOTED.sub(b"", type_value)
    if len(found) != 1 or b"(" in bare or b'"' in bare or b"boundary*" in bare.lower():
        raise _Unclear
    boundary: bytes = found[0][0] or found[0][1]
    if not boundary or len(boundary) > 70 or boundary.endswith(b" "):
        raise _Unclear
    return boundary


def _quoted(content: bytes, boundaries: tuple[bytes, ...]) -> bytes:
    """Its decoding is `content` again. A soft line break must not make a delimiter of a word."""
    slices = (b2a_qp(lines, istext=True) for lines in _slices(content + b"\r\n"))
    quoted = b"".join(slices).removesuffix(b"\r\n")
    lines = b"\n" + quoted
    if any(boundary and b"\n--" + boundary in lines for boundary in boundaries):
        raise _Unclear
    return quoted


def _slices(content: bytes) -> Iterator[bytes]:
    """Whole lines, so many that other threads have their turn between two of them."""
    at = 0
    while at < len(content):
        end = content.rfind(b"\r\n", at, at + SLICE)
        end = content.index(b"\r\n", at) if end < 0 else end
        if end - at > MAX_LINE:
            raise _Unclear
        yield content[at : end + 2]
        at = end + 2
