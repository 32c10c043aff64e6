"""The names of flags that vpopmail's users know, and ours (VADM-3, VADM-4). Pure."""

from tubepost.directory_values import FLAGS, HOLD, LOCKED, MUST_CHANGE, NO_POP, NO_RELAY, NO_SMTP
from tubepost.errors import BadInput

NONE = "none"

ALSO = {
    "bounce_mail": LOCKED,
    "disable_external_relay": NO_RELAY,
    "disable_pop": NO_POP,
    "disable_smtp": NO_SMTP,
}
"""Of vpopmail's C header and of vlimits.default. NO_POP and the like are ours but for the case."""

NOT_HERE = {
    "no_imap": "IMAP",
    "disable_imap": "IMAP",
    "no_webmail": "webmail",
    "disable_webmail": "webmail",
    "no_dialup": "dial-up",
    "disable_dialup": "dial-up",
}

ORDER = (NO_POP, NO_SMTP, NO_RELAY, LOCKED, MUST_CHANGE, HOLD)


def flags(text: str) -> list[str]:
    """`no_pop,no_relay`, `disable_pop`, or `none`. Raises BadInput."""
    words = text.lower().replace(",", " ").split()
    if words == [NONE]:
        return []
    if not words:
        raise BadInput(f"say which flags: {', '.join(ORDER)}, or {NONE}")
    return sorted({_flag(word) for word in words})


def _flag(word: str) -> str:
    flag = ALSO.get(word, word)
    if word in NOT_HERE:
        raise BadInput(f"there is no flag {word}: {NOT_HERE[word]} is not served from here")
    if flag not in FLAGS:
        raise BadInput(f"there is no flag {word!r}; there are {', '.join(ORDER)}, and {NONE}")
    return flag
