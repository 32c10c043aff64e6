"""The addresses in a header field such as To: (RFC 5322 3.4, with the obsolete forms). Pure.

Strict where a recipient could be lost or invented: two addresses without a comma between them are
an error, and an encoded word is not decoded. The standard library does otherwise in both.
"""

import re
from collections.abc import Iterator

from tubepost.address import Address, parse_address, printable
from tubepost.errors import BadInput

_TOKEN = re.compile(r'\s+|"(?:[^"\\]|\\.)*"|\[[^\[\]\\]*\]|[<>@,;:.]|[^\s"()\[\]<>@,;:.\\]+', re.S)
_AROUND_DOTS = re.compile(r"\s*([.@])\s*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)


def addresses(text: str, host: str) -> list[Address]:
    """In order, each as often as it stands there; without a domain: at `host`. Raises BadInput."""
    found = []
    for element in _elements(text):
        spec = _spec(element, text)
        if spec:
            found.append(parse_address(spec if "@" in _bare(spec) else f"{spec}@{host}", utf8=True))
    return found


def _bare(spec: str) -> str:
    return _QUOTED.sub("", spec)


def _elements(text: str) -> Iterator[list[str]]:
    """What stands between commas; names of groups are left out."""
    current: list[str] = []
    inside = False  # of angle brackets: a source route has a comma and a colon of its own
    for each in _tokens(text):
        if each in "<>":
            inside = each == "<"
        if inside or each not in (",", ";", ":"):
            current.append(each)
            continue
        if each != ":":
            yield current
        elif "@" in current or "<" in current:
            raise _unreadable(text)
        current = []
    yield current


def _spec(tokens: list[str], whole: str) -> str:
    """The address in one element: what is in angle brackets, or all; "" for nothing at all."""
    if "<" in tokens:
        begin, end = tokens.index("<"), tokens.index(">") if ">" in tokens else -1
        after = [t for t in tokens[end + 1 :] if not t.isspace()]
        inner = tokens[begin + 1 : end]
        if end < begin or after or "<" in inner:
            raise _unreadable(whole)
        tokens = _without_route(inner)
        if not "".join(tokens).strip():
            raise _unreadable(whole)
    elif ">" in tokens:
        raise _unreadable(whole)
    return _joined(tokens, whole)


def _without_route(tokens: list[str]) -> list[str]:
    """`<@a,@b:joe@c>`: the route is dropped (RFC 5321 C)."""
    solid = [t for t in tokens if not t.isspace()]
    return tokens[tokens.index(":") + 1 :] if solid[:1] == ["@"] and ":" in tokens else tokens


def _joined(tokens: list[str], whole: str) -> str:
    pieces = [t if t.startswith('"') else re.sub(r"\s+", " ", t) for t in tokens]
    text = ""
    for piece in pieces:
        closes_up = piece in ".@" or text.endswith((".", "@")) or not text
        if piece.isspace():
            text += "" if closes_up else " "
        else:
            text = (text.rstrip(" ") if piece in ".@" else text) + piece
    text = text.strip(" ")
    if " " in _bare(text) or re.search(
        r'"[^.@]|[^.@]"', _QUOTED.sub('""', text).replace('""', '"')
    ):
        raise _unreadable(whole)
    return text


def _tokens(text: str) -> Iterator[str]:
    """Without comments: each counts as a space."""
    at = 0
    while at < len(text):
        if text[at] == "(":
            at = _after_comment(text, at)
            yield " "
            continue
        found = _TOKEN.match(text, at)
        if not found:
            raise _unreadable(text)
        at = found.end()
        yield found[0]


def _after_comment(text: str, at: int) -> int:
    """Comments nest, and a backslash takes the next character out of the count."""
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    raise _unreadable(text)


def _unreadable(text: str) -> BadInput:
    return BadInput(f"cannot read the addresses in {printable(' '.join(text.split()), 100)!r}")
