"""Which class a mail waits in, from where it came in and what its header says. Pure.

A person who has just pressed "send" goes first, bulk goes last: `Precedence: bulk`, `list` or
`junk`, and whatever a mailing list marks as its own (RFC 2919, RFC 2369).
"""

import re

from tubepost.record import Priority

FEW = 10
"""Recipients a mail may have and still count as one person's writing."""

_BULK = re.compile(
    rb"^(?:precedence:[ \t]*(?:bulk|list|junk)\b|list-(?:id|unsubscribe|post):)",
    re.IGNORECASE | re.MULTILINE,
)


def of_mail(header: bytes, *, submitted: bool, recipients: int) -> Priority:
    """`submitted`: by somebody who had logged in to submit it. `header`: CRLF line ends."""
    if _BULK.search(header):
        return Priority.BULK
    if submitted and recipients <= FEW:
        return Priority.INTERACTIVE
    return Priority.NORMAL
