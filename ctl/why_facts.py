"""What `tubepost why` has found out, as the verdict needs it. Pure: answers of /v1 in, facts out.

An answer that is missing, or lacks a field, is no fact: nothing is concluded from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Found = dict[str, Any]
"""Everything found, by step: what --json prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The oldest unit of those that stand in the same place. `by`, `why`: who put it there."""

    id: str
    by: str = ""
    why: str = ""
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An outcome: `outcome` is success, deferral or failure; `text` a sentence."""

    outcome: str
    text: str
    status: str = ""
    kind: str = ""
    reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """`skipped`: why deliveries pass it over. `error`: why there was no greeting."""

    name: str
    ip: str
    port: int = 25
    greeted: bool = False
    connected: bool = False
    timed_out: bool = False
    error: str = ""
    reply: str = ""
    skipped: str = ""
    rcpt: Said | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`target`: the address or domain that was asked for. `rule`: of docs/resolution.md; `stopped`:
    why no mail goes to that address of ours. `away`: services that do not answer, and what was said
    instead. `stands`: how many units stand where. `gone`: a mail that was named is not in the
    queue. `slots`, `running`: of the channel; the rest from `limit` on of the destination.
    `no_hosts`: the outcome of a delivery for want of hosts. Times since 1970."""

    target: str
    domain: str
    now: float
    local: bool = False
    mailbox: bool | None = None
    rule: str = ""
    stopped: str = ""
    away: Mapping[str, str] = field(default_factory=dict)
    suppressed: str = ""
    mail_id: str = ""
    gone: bool = False
    stands: Mapping[str, int] = field(default_factory=dict)
    firsts: Mapping[str, First] = field(default_factory=dict)
    next_try: float | None = None
    attempts: int = 0
    reply: str = ""
    pauses: Mapping[str, str] = field(default_factory=dict)
    slots: int | None = None
    running: int = 0
    limit: int = 0
    window: int = 0
    rate: float | None = None
    site: str = ""
    out: int = 0
    until: float = 0.0
    error: str = ""
    tls_level: str = ""
    login: bool = False
    relayed: bool = False
    no_hosts: Said | None = None
    hosts: tuple[HostSeen, ...] = ()

    @property
    def channel(self) -> str:
        return "local" if self.local else "remote"


def facts(found: Found) -> Facts:
    """The facts in everything found."""
    queue: Found = found.get("queue") or {}
    held: Found = found.get("mail") or queue
    resolution: Found = found.get("resolution") or {}
    state: Found = queue.get("state") or {}
    plan: Found = found.get("plan") or {}
    channel = queue.get("channels", {}).get(found["channel"], {})
    no_hosts = (found.get("hosts") or {}).get("outcome")
    return Facts(
        target=found["target"],
        domain=found["domain"],
        now=found["now"],
        local=found["channel"] == "local",
        mailbox=found.get("mailbox"),
        rule=resolution.get("rule", ""),
        stopped=_stopped(resolution),
        away=found.get("away", {}),
        suppressed=_suppressed(found.get("suppressed")),
        mail_id=found.get("mail_id", ""),
        gone=bool(found.get("mail_id")) and "queue" in found and found.get("mail") is None,
        stands={where: there["units"] for where, there in held.get("stands", {}).items()},
        firsts={where: _first(there["first"]) for where, there in held.get("stands", {}).items()},
        next_try=held.get("next"),
        attempts=held.get("attempts", 0),
        reply=next((reply["reply"] for reply in held.get("replies", ())), ""),
        pauses={pause["what"]: _by(pause) for pause in found.get("pauses", ())},
        slots=channel.get("slots"),
        running=channel.get("out", 0),
        limit=state.get("limit", 0),
        window=state.get("window", 0),
        rate=state.get("rate"),
        site=state.get("site", ""),
        out=state.get("out", 0),
        until=state.get("until", 0.0),
        error=state.get("error", ""),
        tls_level=plan.get("tls", {}).get("level", ""),
        login=plan.get("login", False),
        relayed=bool(plan.get("relays")),
        no_hosts=_said(no_hosts) if no_hosts else None,
        hosts=tuple(_host(host) for host in found.get("tried", ())),
    )


def of_mail(mail: Found, domain: str) -> Found | None:
    """The units of one mail for a domain, in the form of a destination's summary."""
    units = [unit for unit in mail["units"] if unit.get("destination") == domain]
    if not units:
        return None
    waiting = [u["next_attempt"] for u in units if u["stands"] == "waiting"]
    stands: Found = {}
    for unit in units:
        where = unit["stands"] or unit["state"]
        there = stands.setdefault(where, {"units": 0, "first": _shown_first(mail["id"], unit)})
        there["units"] += 1
    return {
        "id": mail["id"],
        "units": len(units),
        "stands": stands,
        "oldest": mail["created"],
        "next": min(filter(None, waiting), default=None),
        "attempts": max(unit["attempts"] for unit in units),
        "replies": _replies(units),
    }


def _shown_first(mail_id: str, unit: Found) -> Found:
    replies = (r["reply"] for r in unit["recipients"] if r["reply"])
    return {"id": mail_id, "note": unit["note"], "reply": next(replies, "")}


def _replies(units: Sequence[Found]) -> list[Found]:
    """What was said last to each recipient that has not got it."""
    return [
        {
            "reply": r["reply"],
            "status": r["status"],
            "recipients": 1,
            "attempts": unit["attempts"],
            "address": r["address"],
        }
        for unit in units
        for r in unit["recipients"]
        if r["reply"] and not r["done"]
    ]


def _stopped(resolution: Found) -> str:
    stops = (a for a in resolution.get("actions", ()) if a["name"] in ("refuse", "wait"))
    return next((str(action["text"]) for action in stops), "")


def _first(first: Found) -> First:
    note = first.get("note") or {}
    return First(
        id=first["id"],
        by=note.get("by", ""),
        why=note.get("why", ""),
        reply=first.get("reply", ""),
    )


def _by(note: Found) -> str:
    """`kim: repairs`."""
    return f"{note.get('by', '')}: {note['why']}" if note.get("why") else str(note.get("by", ""))


def _suppressed(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    return str(entry.get("reply") or "a host refused it for good")


def _said(outcome: Found) -> Said:
    return Said(**{name: outcome.get(name, "") for name in Said.__slots__})


def _host(host: Found) -> HostSeen:
    rcpt = host.get("rcpt")
    plain = {name: host[name] for name in HostSeen.__slots__ if name in host and name != "rcpt"}
    return HostSeen(**plain, rcpt=_said(rcpt) if rcpt else None)
