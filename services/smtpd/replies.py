"""A reply as it goes on the wire: qmail's text, behind the enhanced code where that is due. Pure.

Who said EHLO and was offered ENHANCEDSTATUSCODES gets `250 2.1.0 ok` (RFC 2034); who said HELO, or
nothing, gets qmail's `250 ok`. The `(#x.y.z)` at the end stays in both: scripts look for it.
"""

_AIOSMTPD = {
    "220 Ready to start TLS": "220 ready for tls",
    "500 Command line too long": "500 line too long (#5.5.2)",
    "500 Error: bad syntax": "500 syntax error (#5.5.2)",
    "501 Syntax: STARTTLS": "501 STARTTLS takes no argument (#5.5.4)",
    "502 5.5.1 Too many unrecognized commands, goodbye.": "502 unimplemented, goodbye (#5.5.1)",
    "454 TLS not available": "454 TLS not available (#4.7.0)",
    "530 Must issue a STARTTLS command first": "530 must issue STARTTLS first (#5.7.0)",
}
"""What aiosmtpd says by itself, and what we say instead."""

_UNKNOWN = "500 Error: command "
"""aiosmtpd repeats an unknown verb; we do not."""

_OF_CODE = {
    "214": "2.0.0",
    "220": "2.0.0",
    "221": "2.0.0",
    "235": "2.7.0",
    "250": "2.0.0",
    "252": "2.0.0",
    "421": "4.3.2",
    "452": "4.3.1",
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "504": "5.5.4",
    "530": "5.7.0",
    "535": "5.7.8",
    "552": "5.3.4",
    "555": "5.5.4",
}
"""For a reply whose text has no code of its own (RFC 3463 3)."""


def wire(reply: str, status: str = "", *, enhanced: bool = False) -> bytes:
    """The octets of a reply. `status`: its enhanced code where the text has none."""
    text = in_our_words(reply)
    if enhanced:
        text = with_status(text, status)
    return text.encode("ascii", "replace") + b"\r\n"


def in_our_words(reply: str) -> str:
    """The same, but for what aiosmtpd says by itself."""
    if reply.startswith(_UNKNOWN):
        return "500 unimplemented (#5.5.1)"
    return _AIOSMTPD.get(reply, reply)


def with_status(reply: str, status: str = "") -> str:
    """The reply with its enhanced code in each line; 3xx has none (RFC 2034 4)."""
    if reply[:1] not in "245":
        return reply
    found = status_of(reply, status)
    if "\r\n" not in reply:
        return f"{reply[:4]}{found} {reply[4:]}"
    return "\r\n".join(f"{line[:4]}{found} {line[4:]}" for line in reply.split("\r\n"))


def status_of(reply: str, status: str = "") -> str:
    """The enhanced code: the one at the end, `status`, or the one of the reply code.

    Its class is the reply's: a code of another class is an operator's slip and is not repeated.
    """
    if reply.endswith(")") and (at := reply.rfind("(#")) >= 0:
        said = reply[at + 2 : -1]
        status = said if _is_status(said) else ""
    if status[:1] == reply[0]:
        return status
    return _OF_CODE.get(reply[:3]) or f"{reply[0]}.0.0"


def _is_status(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 3 and all(
        part.isascii() and part.isdecimal() and len(part) <= 3 for part in parts
    )
