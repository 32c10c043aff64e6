"""What a sender asks to be told: the parameters RET, ENVID, NOTIFY and ORCPT (RFC 3461). Pure.

They are kept as they came, names in upper case, so that they can be passed on; "" = not given.
"""

import re

from tubepost.errors import BadInput

DOUBLE_BOUNCE_SENDER = "#@[]"
"""qmail's envelope sender of a double bounce: what fails with it is dropped (SEND-12)."""

MAX_ENVID = 100  # RFC 3461 4.4
MAX_ORCPT = 500  # RFC 3461 4.2

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")  # RFC 3461 4
_HEX = re.compile(r"\+([0-9A-F]{2})")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
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
    if not _is_printable_xtext(address):
        raise BadInput("the address in ORCPT is not xtext of printable characters")
    return text


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
