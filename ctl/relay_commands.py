"""`tubepost relay`: who may relay, and why or why not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json
from tubepost import verp
from tubepost.address import parse_address
from tubepost.errors import BadInput
from tubepost.relay_list import normal

relay = typer.Typer(help="The relay list (open-smtp), and who may relay.", no_args_is_help=True)


@relay.command("list")
def list_entries(data: Data = None, json: Json = False) -> None:
    """Address, user, end of the window, instance that saw the login, users within the window."""
    found = Api(data).get("relay")
    if json:
        output.as_json(found)
        return
    output.lines(_entry(e) for e in found)


@relay.command("check")
def check(
    ip: Annotated[str, typer.Argument(help="The client's address.")],
    sender: Annotated[str, typer.Option(help="Envelope sender; default: the null sender.")] = "",
    rcpt: Annotated[str, typer.Option(help="A recipient: its policies are asked, too.")] = "",
    user: Annotated[str, typer.Option(help="As if this account had logged in by AUTH.")] = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Tell what a client would be told at SMTP, and why. Exit code 1: it would be refused."""
    _readable(ip, sender, rcpt, user)
    query = {"ip": ip, "sender": sender, "recipient": rcpt, "user": user}
    found = Api(data).get("smtp", "check", **query)
    output.as_json(found) if json else output.lines(_explained(found))
    raise typer.Exit(0 if found["accepted"] else 1)


def _readable(ip: str, sender: str, rcpt: str, user: str) -> None:
    """Raises BadInput for what the platform would not take either: exit code 2."""
    try:
        normal(ip)
    except ValueError:
        raise BadInput(f"{ip!r} is not an IP address") from None
    if sender:
        verp.parse_sender(sender)
    for address in filter(None, (rcpt, user)):
        if address.lower() != "postmaster":  # as a recipient it needs no domain
            parse_address(address)


def _explained(found: dict[str, Any]) -> Iterator[str]:
    yield f"rule\t{found['rule']['line'] or '(none: allow)'}"
    yield f"relay list\t{_listed(found)}"
    if found["recipient"]:
        yield f"recipient\t{_recipient(found['recipient'])}"
    for said in found["policies"]:
        result = f"{said['verdict']}: {said['reply']}" if said["reply"] else "ok"
        yield f"{said['at']}\t{said['policy']}\t{result}"
    yield found["sentence"]


def _listed(found: dict[str, Any]) -> str:
    entry = found["relay_list"]
    if entry:
        since, until = _time(entry["at"]), _time(entry["until"])
        return f"{entry['user']}\tsince {since}\tuntil {until}\t{entry['by']}"
    return "none" if found["list_is_used"] else "not used: an address of a proxy or of ours"


def _recipient(found: dict[str, Any]) -> str:
    facts = [name for name in ("local", "mailbox", "in_rcpthosts", "relayed") if found[name]]
    rule = f"\trule: {found['rule']}" if found.get("rule") else ""
    return f"{found['address']}\t{' '.join(facts) or 'foreign'}{rule}"


def _entry(e: dict[str, Any]) -> str:
    users = len(e["users"])
    count = f"{users} user{'s' if users != 1 else ''}"
    return f"{e['ip']}\t{e['user']}\tuntil {_time(e['until'])}\t{e['by']}\t{count}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
