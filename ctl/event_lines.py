"""Events as lines for people: one each, and the life of one mail. Pure.

What strangers sent (texts of peers, HELO names) is made printable before it reaches a terminal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tubepost.outcome import one_line

Event = Mapping[str, Any]
COMMON = ("event", "mail", "at", "by", "seq")


def line(event: Event) -> str:
    """`2023-11-14 22:13:20.123Z <mail id> what happened`; `-` where it is about no mail."""
    return f"{stamp(event['at'])} {event['mail'] or '-'} {sentence(event)}"


def stamp(at: float) -> str:
    """UTC, to the millisecond."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"


def life(events: Sequence[Event]) -> Iterator[str]:
    """All events of a mail and its bounces, by time: the mail's lines, each bounce's below."""
    by_mail: dict[str, list[Event]] = {}
    for event in events:
        by_mail.setdefault(event["mail"], []).append(event)
    top = min(by_mail, key=len)
    for mail in sorted(by_mail, key=lambda name: (len(name), name)):
        indent = "" if mail == top else "  "
        begin = by_mail[mail][0]["at"]
        yield f"{indent}{'mail' if mail == top else 'bounce'} {mail}"
        for event in by_mail[mail]:
            when = f"{stamp(event['at'])} {age(event['at'] - begin):>9}"
            yield f"{indent}  {when}  {sentence(event)} [{one_line(event['by'])}]"


def age(seconds: float) -> str:
    """`+0.123s`, `+6m40s`, `+2d3h`: two units at most."""
    if seconds < 60:
        return f"+{max(0.0, seconds):.3f}s"
    whole = int(seconds)
    for size, name, below, lower in ((86400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= size:
            return f"+{whole // size}{name}{whole % size // below}{lower}"
    return f"+{whole // 60}m{whole % 60}s"


def sentence(event: Event) -> str:
    """What happened, on one line. Kinds a newer release may add: their fields as they are."""
    try:
        return one_line(_SENTENCES[event["event"]](event), limit=100_000)
    except (KeyError, TypeError, ValueError):
        fields = (f"{k}={v}" for k, v in event.items() if k not in COMMON)
        return one_line(" ".join([event["event"], *fields]), limit=100_000)


def _accepted(event: Event) -> str:
    more = event["count"] - len(event["recipients"])
    to = ", ".join(event["recipients"]) + (f" and {more} more" if more else "")
    client = f" {event['client']}" if event["client"] else ""
    helo = f" ({event['helo']})" if event["helo"] else ""
    user = f", user {event['user']}" if event["user"] else ""
    of = event["bounce_of"] or event.get("forward_of")  # the first releases had no forwards
    whose = f" of {of}" if of else ""
    size = f"{event['size']} octets by {event['source']}"
    return f"accepted from <{event['sender']}> to {to}: {size}{client}{helo}{user}{whose}"


def _split(event: Event) -> str:
    shown = [f"{unit} {channel} {destination}" for unit, channel, destination in event["units"]]
    more = event["count"] - len(shown)
    units = ", ".join(shown) + (f" and {more} more" if more else "")
    return f"split into {event['count']} units: {units}"


def _started(event: Event) -> str:
    to = ", ".join(event["recipients"])
    return f"{_try(event)} is under way since {stamp(event['began'])}: {to}"


def _attempt(event: Event) -> str:
    said = [f"{r['address']} {r['outcome']}{_kind(r)}: {r['text']}" for r in event["recipients"]]
    retry = f"; next try {stamp(event['next_attempt'])}" if event["next_attempt"] else ""
    return f"{_try(event)}, {event['seconds']:.3f} s: {'; '.join(said)}{retry}{_becomes(event)}"


def _kind(recipient: Event) -> str:
    return f" ({recipient['kind']})" if recipient.get("kind") else ""


def _becomes(event: Event) -> str:
    if event["state"] == "bounce":
        return "; a report is to follow"
    if event["state"] not in ("done", "gone"):
        return ""
    return f"; unit {event['unit']} is done" if event["group"] else "; done"


def _try(event: Event) -> str:
    unit = f" of unit {event['unit']}" if event["unit"] != "0" else ""
    return f"attempt {event['attempt']}{unit} {event['channel']} {event['destination']}"


def _bounced(event: Event) -> str:
    match event["kind"]:
        case "triple":
            return "triple bounce: dropped"
        case "unwanted":
            return "no bounce: its sender asked for none"
        case "delivered" | "relayed" as how:
            return f"its sender was told that it was {how}: {event['bounce']} to {event['to']}"
        case kind:
            return f"{kind} bounce {event['bounce']} to {event['to']}"


_SENTENCES: Mapping[str, Callable[[Event], str]] = {
    "accepted": _accepted,
    "split": _split,
    "started": _started,
    "attempt": _attempt,
    "bounced": _bounced,
    "warned": lambda e: f"its sender was told of the delay: {e['warning']} to {e['to']}",
    "parked": lambda e: f"set aside: {e['why']}",
    "operator": lambda e: f"{e['action']} by {e['actor']}: {e['why']}",
    "ended": lambda e: f"ended after {age(e['seconds'])[1:]}",
    "unreadable": lambda _: "an event that cannot be read",
}
