"""The control settings of local delivery, which smtpd reads too: what an address stands for. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from tubepost.errors import BadInput
from tubepost.setting import Lines, Setting, domain, number, some_of

SECRET = 16
"""Characters that a secret has at least."""

MOST_SECRETS = 10


def _secrets(lines: Lines) -> tuple[str, ...]:
    """What is refused is not shown: it may be nearly right."""
    secrets = tuple(line.strip() for line in lines if line.strip())
    if not 1 <= len(secrets) <= MOST_SECRETS:
        raise BadInput(f"give 1 to {MOST_SECRETS} secrets, one a line")
    if any(len(s) < SECRET or not (s.isascii() and s.isprintable()) for s in secrets):
        raise BadInput(f"a secret has {SECRET} characters or more, of printable ASCII")
    return secrets


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
SRSDOMAIN = Setting[str | None](
    "srsdomain",
    domain,
    None,
    "Domain of ours whose addresses stand for senders elsewhere when their mail is sent on to "
    "other hosts (SRS), so that SPF passes; with `srssecret`. Not set: senders stay as they are.",
    "local",
)
SRSSECRET = Setting[tuple[str, ...]](
    "srssecret",
    _secrets,
    (),
    "What signs the addresses at `srsdomain`: the first line; all lines are good for what comes "
    "back. 16 characters or more each.",
    "local, smtpd",
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
