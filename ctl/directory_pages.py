"""The addresses of a domain, or of all, page after page: a domain may have 100,000."""

from collections.abc import Iterable, Iterator

from ctl.asking import Asking
from ctl.client import Api, Refused
from ctl.queue_actions import flush

PAGE = 10_000
"""As many as there may be in one: for each the platform asks for all names of the domain."""


def addresses(api: Api, kind: str, domain: str) -> Iterator[str]:
    """Of `kind`, in order, as the pages come."""
    after = ""
    while True:
        page = api.get("addresses", domain=domain, kind=kind, after=after, limit=PAGE)
        yield from (row["address"] for row in page["addresses"])
        if not page["next"]:
            return
        after = page["next"]


def say_addresses(ask: Asking, kind: str, domain: str) -> None:
    """A line each, or one list."""
    found = addresses(ask.api, kind, domain)
    ask.say(list(found) if ask.json else None, found)


def deliver_waiting(api: Api, recipients: Iterable[str]) -> str:
    """Has mails that wait for them tried now; what to tell of it, "" = it is done.

    A domain's administrator may release, but has no say in the queue.
    """
    names = list(recipients)
    try:
        for name in names:
            flush(api.post, {"recipient": name})
    except Refused as refused:
        commands = "; ".join(f"tubepost queue flush --recipient {name}" for name in names)
        return f"what waits is tried at its next attempt ({refused}); to try it now: {commands}"
    return ""


def used(api: Api, name: str) -> dict[str, object]:
    """What the mails of an account or a domain take; not known while nobody can tell."""
    try:
        found: dict[str, object] = api.get("quota", name)
    except Refused as refused:
        if not refused.may_pass:
            raise
        return {"name": name, "quota": "", "octets": None, "mails": None}
    return found
