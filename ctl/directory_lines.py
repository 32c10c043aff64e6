"""What the directory holds, as lines for people. Pure: it gets the answers of /v1.

A fact is a line, name and value with a tab between them, so that a shell can cut them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctl.spans import moment
from tubepost.quota import NONE, parse_quota

Shown = Mapping[str, Any]


def domain(shown: Shown, used: Shown) -> Iterator[str]:
    """Of a domain, and what its mails take: what vdominfo says, and vmoddomlimits -S."""
    yield f"domain\t{shown['name']}"
    if shown["alias_of"]:
        yield f"alias of\t{shown['alias_of']}"
        return
    yield from _if("other names", shown["aliases"])
    yield f"mail for nobody\t{_unknown(shown['unknown'])}"
    yield f"on hold\t{_yes(shown['hold'])}"
    yield f"quota\t{shown['quota']}"
    yield f"used\t{used_text(used)}"
    yield from limits(shown)


def limits(shown: Shown) -> Iterator[str]:
    """How many there are, and may be."""
    most, counts = shown["limits"], shown["counts"]
    for name in ("accounts", "aliases", "lists"):
        yield f"{name}\t{counts[name]} of {most[name] or 'any number'}"
    yield f"quota of a new account\t{most['quota']}"
    yield f"flags of all accounts\t{' '.join(most['flags']) or '-'}"


def account(shown: Shown, used: Shown) -> Iterator[str]:
    """Of a mailbox: what vuserinfo says."""
    yield f"address\t{shown['address']}"
    yield f"name\t{shown['name'] or '-'}"
    yield f"folder\t{shown['home']}/Maildir"
    yield f"flags\t{' '.join(shown['flags']) or '-'}"
    yield from _if("flags by its domain", shown["domain_flags"])
    yield f"quota\t{shown['quota']}"
    yield f"used\t{used_text(used)}"
    yield from forward(shown)


def forward(shown: Shown) -> Iterator[str]:
    """Who else gets an account's mail."""
    copy = "" if shown["keep"] else "\tno copy stays here"
    yield f"forward\t{' '.join(shown['forward']) or '-'}{copy if shown['forward'] else ''}"


def alias(shown: Shown) -> Iterator[str]:
    """An alias."""
    yield f"alias\t{shown['address']}"
    yield f"to\t{' '.join(shown['to'])}"
    yield f"bounces to\t{_bounces(shown)}"


def mailing_list(shown: Shown) -> Iterator[str]:
    """A list, without its members: they may be thousands."""
    yield f"list\t{shown['address']}"
    yield f"name\t{shown['name'] or '-'}"
    yield f"owner\t{shown['owner']}"
    yield f"may write\t{_posting(shown['posting'])}"
    yield from _if("moderators", shown["moderators"])
    yield f"members\t{len(shown['members'])}"


def used_text(used: Shown) -> str:
    """`5000 octets, 2 mails (50 %)`: the share of what is nearer to its limit."""
    octets, mails = used["octets"], used["mails"]
    if octets is None or mails is None:
        return "not known now"
    share = _share(used["quota"], octets, mails)
    return f"{octets} octets, {mails} {'mail' if mails == 1 else 'mails'}{share}"


def used(shown: Shown) -> str:
    """One line of `tubepost quota show`."""
    return f"{shown['name']}\tquota {shown['quota']}\tused {used_text(shown)}"


def token(shown: Shown) -> str:
    """Who may do what, until when."""
    until = f"until {moment(shown['expires'])}" if shown["expires"] else "until revoked"
    return f"{shown['id']}\t{shown['name']}\t{' '.join(shown['domains'])}\t{until}"


def change(shown: Shown) -> str:
    """A line of the history."""
    words = (moment(shown["at"]), shown["actor"], shown["action"], shown["what"], shown["diff"])
    return "\t".join(word for word in words if word)


def resolution(shown: Shown) -> Iterator[str]:
    """What qmail-local -n says: the row of the table, then each action (LCL-12)."""
    yield f"{shown['address']}\t{shown['rule']}"
    yield from map(action, shown["actions"])


def action(shown: Shown) -> str:
    """What is done with mail; the word of qmail where it had one."""
    match shown["name"]:
        case "store":
            return f"maildir {shown['home']}/Maildir/"
        case "forward":
            bounces = f" (bounces to {_bounces(shown)})" if shown["owner"] or shown["verp"] else ""
            return f"forward {' '.join(shown['to'])}{bounces}"
        case "post":
            return f"list {shown['mailing_list']}"
        case name:
            return " ".join(filter(None, (name, shown["text"])))


def _bounces(shown: Shown) -> str:
    owner = shown["owner"] or "the sender"
    return f"{owner}, one address for each recipient" if shown["verp"] else owner


def _share(quota: str, octets: int, mails: int) -> str:
    if quota == NONE:
        return ""
    limit = parse_quota(quota)
    shares = [used / most for used, most in ((octets, limit.octets), (mails, limit.mails)) if most]
    return f" ({max(shares):.0%})"


def _unknown(unknown: str) -> str:
    words = {"refuse": "is refused", "delete": "is thrown away"}
    return words.get(unknown, f"goes to {unknown}")


def _posting(posting: str) -> str:
    return {"open": "anybody", "members": "its members", "moderators": "its moderators"}[posting]


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _if(name: str, words: Sequence[str]) -> Iterator[str]:
    if words:
        yield f"{name}\t{' '.join(words)}"
