"""The options of sendmail(8) that programs use, and what becomes of them (INJ-2). Pure.

What only tunes a sendmail is taken and ignored. What would start a daemon, rebuild a table or look
into a queue that is not here is wrong use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tubepost.errors import BadInput

_WITH_VALUE = "ABCFLNORVXefhpr"
"""Options that have a value, attached or in the next argument; of -o, -b, -q and -d see below."""

_ATTACHED = "bdqo"
"""Their value is attached, or there is none."""

_IGNORED = frozenset("ABCLOXehpdGJUEmnvxso")

MODES = ("m", "p", "s")


@dataclass(frozen=True, slots=True)
class Options:
    """`mode`: m = take a mail, p = show the queue, s = SMTP on standard input.

    `sender`: None = whoever calls; "" = the null sender. `dots`: a line of one dot ends the mail.
    """

    mode: str = "m"
    sender: str | None = None
    name: str = ""
    from_header: bool = False
    dots: bool = True
    notify: str = ""
    ret: str = ""
    envid: str = ""
    recipients: tuple[str, ...] = ()


def parse(arguments: Sequence[str]) -> Options:
    """As getopt reads them. Raises BadInput."""
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        argument = rest.pop(0)
        if argument == "--":
            break
        _read(argument[1:], rest, found)
    if found.get("b", "m") not in MODES:
        raise BadInput(f"-b{found['b']} is not for this sendmail; tubepost runs with: tubepost up")
    if "q" in found:
        raise BadInput("-q is not for this sendmail; see: tubepost queue --help")
    sender = found.get("f", found.get("r"))
    return Options(
        mode=found.get("b", "m"),
        sender=None if sender is None else sender.strip("<> "),
        name=found.get("F", ""),
        from_header="t" in found,
        dots="i" not in found,
        notify=found.get("N", ""),
        ret=found.get("R", ""),
        envid=found.get("V", ""),
        recipients=tuple(rest),
    )


def _read(letters: str, rest: list[str], found: dict[str, str]) -> None:
    """One argument: flags, and at its end perhaps one option with a value."""
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _ATTACHED:
            value, letters = letters, ""
        elif letter in _WITH_VALUE:
            if not letters and not rest:
                raise BadInput(f"-{letter} needs a value")
            value, letters = letters or rest.pop(0), ""
        else:
            value = ""
        if letter == "o" and value[:1] == "i":
            letter = "i"
        if letter not in _IGNORED | set("bqfrFtiNRV"):
            raise BadInput(f"-{letter} is no option of this sendmail; see docs/howto/sendmail.md")
        found[letter] = value
