"""`tubepost why`: walks the way of a mail without sending one, and says why it has not gone.

It asks the platform only; connections to other hosts are remote's.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer

from ctl import output, why_lines
from ctl.client import Api, Refused
from ctl.output import Data, Json
from ctl.why_facts import Found, facts, of_mail
from ctl.why_verdict import verdict
from tubepost.address import parse_address, parse_domain
from tubepost.errors import BadInput

Show = Callable[[str, Iterable[str]], None]
"""Prints a step: its name, its lines."""


def why(
    address: Annotated[str, typer.Argument(metavar="ADDRESS|DOMAIN")],
    rcpt: Annotated[
        bool, typer.Option("--rcpt", help="Ask the hosts about the address (MAIL, RCPT, RSET).")
    ] = False,
    mail: Annotated[str, typer.Option("--mail", metavar="ID", help="One mail only.")] = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Why mail for an address has not gone. Sends nothing. Exit code 0: a mail would go, 1: not."""
    found = _target(address, rcpt=rcpt) | {"now": time.time(), "mail_id": mail.removeprefix("#")}
    _find(Api(data), found, _silent if json else _show, rcpt=rcpt)
    end = verdict(facts(found))
    found["verdict"] = {"goes": end.goes, "reason": end.reason, "sentence": end.sentence}
    output.as_json(found) if json else output.lines(["", end.sentence])
    raise typer.Exit(0 if end.goes else 1)


def _target(text: str, *, rcpt: bool) -> Found:
    """Raises BadInput."""
    if "@" in text:
        address = parse_address(text, utf8=True)
        target, domain, recipient = str(address), address.domain, str(address)
    else:
        target = domain = parse_domain(text, utf8=True)
        recipient = ""
    if rcpt and not recipient:
        raise BadInput("--rcpt asks about an address; write user@domain")
    return {"target": target, "domain": domain, "recipient": recipient, "away": {}, "pauses": []}


def _find(api: Api, found: Found, show: Show, *, rcpt: bool) -> None:
    _find_owner(api, found)
    show("routing", why_lines.routing(found))
    _find_queue(api, found)
    show("paused", why_lines.pauses(found))
    show("queue", why_lines.queue(found))
    show("limits", why_lines.destination(found))
    if found["channel"] == "remote":
        _probe(api, found, show, rcpt=rcpt)


def _show(name: str, texts: Iterable[str]) -> None:
    output.lines(why_lines.aligned(name, texts))


def _silent(_name: str, _texts: Iterable[str]) -> None:
    pass


def _find_owner(api: Api, found: Found) -> None:
    """Whether the domain is ours; if so, whether the mailbox is there."""
    found["channel"] = None
    with _noting(found, "popauth"):
        ours = found["domain"] in api.get("domains")
        found["channel"] = "local" if ours else "remote"
        recipient = found["recipient"]
        if ours and recipient:
            found["resolution"] = _or_none(api, "resolve", recipient)
            found["mailbox"] = found["resolution"]["exists"] if found["resolution"] else None
    found.setdefault("mailbox", None)
    if found["recipient"] and found["channel"] == "remote":
        with _noting(found, "remote"):
            found["suppressed"] = _suppressed(api, found["recipient"])


def _suppressed(api: Api, recipient: str) -> Any:
    """None where it is not, or nobody looks: the setting `suppress` is 0."""
    entry = _or_none(api, "suppressions", recipient)
    return entry if entry and api.get("suppressions")["seconds"] else None


def _find_queue(api: Api, found: Found) -> None:
    with _noting(found, "scheduler"):
        stops = ("all", found["channel"], found["domain"])
        found["pauses"] = [pause for pause in api.get("pauses") if pause["what"] in stops]
        found["queue"] = api.get("destinations", found["domain"])
        if found["mail_id"]:
            mail = _or_none(api, "queue", found["mail_id"])
            found["mail"] = of_mail(mail, found["domain"]) if mail else None


def _probe(api: Api, found: Found, show: Show, *, rcpt: bool) -> None:
    """Shown as it comes: a host that is silent takes its time."""
    found["tried"] = []
    address = found["recipient"] or found["domain"]
    with _noting(found, "remote"):
        for step in api.json_lines("probe", address=address, rcpt=rcpt):
            name = step["step"]
            if name == "host":
                found["tried"].append(step)
            else:
                found[name] = step
            if name in _SHOWN:
                show(name, _SHOWN[name](step))
        order = [(host["ip"], host["port"]) for host in found["hosts"]["hosts"]]
        found["tried"].sort(key=lambda host: order.index((host["ip"], host["port"])))


_SHOWN: Mapping[str, Callable[[Found], Iterator[str]]] = {
    "plan": why_lines.plan,
    "dns": why_lines.dns,
    "hosts": why_lines.hosts,
    "host": why_lines.host,
}


@contextlib.contextmanager
def _noting(found: Found, service: str) -> Iterator[None]:
    """A service that does not answer is a fact. 404: behind the gateway it has no process now."""
    try:
        yield
    except Refused as refused:
        if not refused.may_pass and refused.status != 404:
            raise
        found["away"][service] = str(refused)


def _or_none(api: Api, *path: str) -> Any:
    """None where there is no such thing."""
    try:
        return api.get(*path)
    except Refused as refused:
        if refused.status != 404:
            raise
        return None
