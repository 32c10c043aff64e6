"""What a command line must be before anybody reads it as a command. Pure.

RFC 5321 2.3.8: lines end in CRLF, and CR and LF stand nowhere else. A line that ends in LF alone
may be the other half of a smuggled mail: what one server took for the text of a mail, the next one
hears as commands. What is no line is replaced by a verb no client can say, as it holds a NUL.
"""

BARE_LF = "\0LF"
NO_COMMAND = "\0?"

_NUL = b"\0\r\n"  # left as it is: a line of a binary PROXY header, which is no verb either
_BARE_LF = BARE_LF.encode() + b"\r\n"
_NO_COMMAND = NO_COMMAND.encode() + b"\r\n"


def checked(line: bytes) -> bytes:
    """The line itself, or what stands for one that is refused. `line` ends in LF."""
    if not line.endswith(b"\r\n"):
        return _BARE_LF
    if line.find(b"\r") < len(line) - 2 or (b"\0" in line and line != _NUL):
        return _NO_COMMAND
    return line
