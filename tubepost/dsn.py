"""What a sender asks to be told: the parameters RET, ENVID, NOTIFY and ORCPT (RFC 3461). Pure.

They are kept as they came, names in upper case, so that they can be passed on; "" = not given.
"""

import re

from tubepost.errors import BadInput

DOUBLE_BOUNCE_SENDER = "#@[]"
"""qmail's envelope sender of a double bounce: what fails with it is dropped (SEND-12)."""

MAX_ENVID = 100  # RFC 3461 4.4
MAX_ORCPT = 500  # RFC 3461 4.2
MAX_UTF8_ORCPT = 300
"""Less for type `utf-8`: fifty of these, all escapes, still fit the header of a record."""

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")  # RFC 3461 4
_HEX = re.compile(r"\+([0-9A-F]{2})")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_UTF8 = "utf-8"
_UTF8_XTEXT = re.compile(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\})+")  # RFC 6533 3
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_NO_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_WIDE = re.compile(r"[^\x00-\x7f]")
_EVENTS = frozenset({"SUCCESS", "FAILURE", "DELAY"})


def parse_ret(text: str) -> str:
    """`FULL` or `HDRS`. Raises BadInput."""
    if text.upper() not in ("FULL", "HDRS"):
        raise BadInput("RET is FULL or HDRS")
    return text.upper()


def parse_envid(text: str) -> str:
    """xtext of printable ASCII, at most MAX_ENVID characters. Raises BadInput."""
    if len(text) > MAX_ENVID:
        raise BadInput(f"ENVID may have {MAX_ENVID} characters")
    if not _is_printable_xtext(text):
        raise BadInput("ENVID is not xtext of printable characters")
    return text


def parse_notify(text: str) -> str:
    """`NEVER`, or some of SUCCESS, FAILURE, DELAY with commas between. Raises BadInput."""
    words = text.upper().split(",")
    if words != ["NEVER"] and not _EVENTS.issuperset(words):
        raise BadInput("NOTIFY is NEVER alone, or some of SUCCESS,FAILURE,DELAY")
    return ",".join(words)


def parse_orcpt(text: str) -> str:
    """`type;xtext` of printable ASCII, at most MAX_ORCPT characters. Raises BadInput."""
    kind, semicolon, address = text.partition(";")
    if len(text) > MAX_ORCPT:
        raise BadInput(f"ORCPT may have {MAX_ORCPT} characters")
    if not semicolon or not _ATOM.fullmatch(kind):
        raise BadInput("ORCPT is TYPE;ADDRESS, as in rfc822;joe@example.org")
    wide = kind.lower() == _UTF8
    if wide and len(text) > MAX_UTF8_ORCPT:
        raise BadInput(f"ORCPT of type utf-8 may have {MAX_UTF8_ORCPT} characters")
    known = _is_utf8_xtext if wide else _is_printable_xtext
    if not known(address):
        raise BadInput("the address in ORCPT is not xtext of printable characters")
    return text


def parse_utf8_orcpt(text: str) -> str:
    """The same where SMTPUTF8 was asked for: a `utf-8` address may stand as it is (RFC 6533 3).

    It is kept in ASCII: so it can be passed on to anybody.
    """
    if text.isascii():
        return parse_orcpt(text)
    kind, _, address = text.partition(";")
    if kind.lower() != _UTF8:
        raise BadInput("ORCPT is not ASCII; write utf-8;ADDRESS")
    return parse_orcpt(f"{kind};{_WIDE.sub(_embedded, address)}")


def address_type(address: str) -> str:
    """`type;address` in ASCII for Final-Recipient: `utf-8` where it has to be (RFC 6533 3)."""
    if address.isascii():
        return f"rfc822;{address}"
    return f"{_UTF8};{utf8_encoded(address)}"


def utf8_encoded(text: str) -> str:
    """utf-8-addr-xtext: what is not ASCII, and `+`, `=`, a blank and a backslash, as `\\x{HEX}`."""
    return _NO_QCHAR.sub(_embedded, text)


def _embedded(found: re.Match[str]) -> str:
    return rf"\x{{{ord(found[0]):02X}}}"


def _is_utf8_xtext(text: str) -> bool:
    if not _UTF8_XTEXT.fullmatch(text):
        return False
    points = [int(found, 16) for found in _EMBEDDED.findall(text)]
    return all(point <= 0x10FFFF and chr(point).isprintable() for point in points)


def _is_printable_xtext(text: str) -> bool:
    """What is decoded ends up in a header field: no control character may hide in it."""
    return bool(_XTEXT.fullmatch(text)) and decoded(text).isprintable() and decoded(text).isascii()


def decoded(xtext: str) -> str:
    """The text that was encoded."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), xtext)


def encoded(text: str) -> str:
    """Printable ASCII as xtext."""
    return "".join(c if _XTEXT.fullmatch(c) else f"+{ord(c):02X}" for c in text)


def wants_failure(notify: str) -> bool:
    """Also where nothing was asked for."""
    return not notify or "FAILURE" in notify.split(",")


def wants_success(notify: str) -> bool:
    return "SUCCESS" in notify.split(",")


def wants_delay(notify: str) -> bool:
    """Also where nothing was asked for: RFC 3461 4.1 leaves that to us."""
    return not notify or "DELAY" in notify.split(",")


def answerable(sender: str) -> bool:
    """Whether a mail has a sender who can be told something."""
    return sender not in ("", DOUBLE_BOUNCE_SENDER)
