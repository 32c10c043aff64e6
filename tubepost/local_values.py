"""The control settings of local delivery, which smtpd reads too: what an address stands for. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from tubepost.errors import BadInput
from tubepost.setting import Lines, Setting, number, some_of


def text(lines: Lines) -> str:
    """What users read: lines in any script."""
    if not any(line.strip() for line in lines):
        raise BadInput("give at least one line of text")
    if not all(line.isprintable() for line in lines):
        raise BadInput("give lines without control characters")
    if any(len(line.encode()) > MAX_LINE for line in lines):
        raise BadInput(f"give lines of at most {MAX_LINE} octets")
    return "\n".join(lines)


MAX_LINE = 990
"""RFC 5322 section 2.1.1: 998, without the line end; and room for what stands in for {percent}."""

EXTENSIONS = Setting[tuple[str, ...]](
    "extensions",
    some_of("-", "+", "none"),
    ("-", "+"),
    "What parts a mailbox's name from an extension of it, `joe-lists` or `joe+lists`; `none`: "
    "there are no extensions.",
    "local",
)
QUOTAWARNING = Setting(
    "quotawarning",
    number(0, 100),
    90,
    "Percent of its quota from which on a mailbox gets a warning, a mail, at most once a day; 0 = "
    "never.",
    "local",
)
QUOTAWARNMESSAGE = Setting(
    "quotawarnmessage",
    text,
    "",
    "Text of that warning, lines in UTF-8, instead of our own; `{percent}` is replaced.",
    "local",
)
