"""`tubepost destinations`: those that do not get all they could use, and what ends that.

`tubepost queue destinations` and `queue reset` are these, under the names they had.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api, Refused
from ctl.output import Data, Json
from ctl.queue_actions import Actor, Reason, actor_header

SHOWN = 200
"""Lines of each kind, where no limit is given."""

Shown = dict[str, Any]

destinations = typer.Typer(
    help="Remote destinations that wait: back-offs, limits, last errors.",
    invoke_without_command=True,
)


@destinations.callback()
def overview(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="So many of each, no more.")] = SHOWN,
    data: Data = None,
    json: Json = False,
) -> None:
    """Those that do not get all they could use, the longest line first; then hosts backed off."""
    if context.invoked_subcommand is None:
        listed(limit, data, json)


def listed(
    limit: Annotated[int, typer.Option(min=1, help="So many of each, no more.")] = SHOWN,
    data: Data = None,
    json: Json = False,
) -> None:
    """Remote destinations that do not get all they could use: backed off, learnt slow, paused."""
    api = Api(data)
    found = api.get("destinations")
    found.sort(key=lambda each: (-each["waiting"], each["name"]))
    if json:
        output.as_json(found[:limit])
        return
    output.lines(_bounded([_trouble(each) for each in found], limit, "destinations"))
    hosts = [_host(each) for each in _hosts(api)]
    output.lines(_bounded(hosts, limit, "hosts"))


@destinations.command("reset")
def reset(
    destination: Annotated[list[str], typer.Argument(metavar="DOMAIN")],
    reason: Reason = "",
    actor: Actor = None,
    data: Data = None,
) -> None:
    """End the back-off of destinations, and of their hosts: they are tried at once."""
    api = Api(data)
    who, why = actor_header(actor), {"reason": reason}
    for each in destination:
        hosts = _reset_hosts(api, each, who, why)
        done = api.post("destinations", each, "reset", json=why, headers=who)
        output.lines([f"reset {done['destination']}"])
        output.lines(f"reset host {ip}" for ip in hosts)


def _hosts(api: Api) -> list[Shown]:
    """Hosts that are backed off; none where remote cannot tell."""
    try:
        found: list[Shown] = api.get("hosts")
    except Refused as refused:
        if refused.status != 404 and not refused.may_pass:
            raise
        return []
    return sorted(found, key=lambda host: (-host["until"], host["ip"], host["port"]))


def _reset_hosts(api: Api, destination: str, who: dict[str, str], why: Shown) -> list[str]:
    """Before the destination itself: it is tried at once. DNS may be away; that is no hindrance."""
    if not _hosts(api):
        return []
    ips: list[str] = []
    for step in api.json_lines("probe", address=destination, connect=False):
        ips += [host["ip"] for host in step["hosts"]] if step["step"] == "hosts" else []
    return [ip for ip in dict.fromkeys(ips) if _reset_host(api, ip, who, why)]


def _reset_host(api: Api, ip: str, who: dict[str, str], why: Shown) -> bool:
    """False where nothing was known of it."""
    done = api.post("hosts", ip, "reset", json=why, headers=who)
    return bool(done["ports"])


def _bounded(lines: list[str], limit: int, what: str) -> Iterator[str]:
    yield from lines[:limit]
    if len(lines) > limit:
        yield f"and {len(lines) - limit} more {what}; --limit {len(lines)} shows all"


def _trouble(trouble: Shown) -> str:
    until = f"\tuntil {_time(trouble['until'])}" if trouble["until"] else ""
    paused = "\tpaused" if trouble["paused"] else ""
    rate = f", {trouble['rate']:g}/s" if trouble["rate"] else ""
    site = f"\twith {trouble['site']}" if trouble.get("site") else ""
    numbers = f"{trouble['waiting']} waiting\t{trouble['out']} of {trouble['window']} out"
    limit = f"limit {trouble['limit']}{rate}"
    return f"{trouble['name']}\t{numbers}\t{limit}{site}{paused}{until}\t{trouble['error']}"


def _host(host: Shown) -> str:
    ip = f"[{host['ip']}]" if ":" in host["ip"] else host["ip"]
    until = f"\tuntil {_time(host['until'])}" if host["until"] else ""
    return f"host {ip}:{host['port']}\t{host['failures']} failures{until}\t{host['why']}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
