"""What `tubepost why` finds, for people: lines for each step, its name in front. Pure."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ctl.queue_show import when
from ctl.why_facts import Found

WIDTH = 12
"""Of the column of names."""


def aligned(name: str, texts: Iterable[str]) -> Iterator[str]:
    """The name before the first line only."""
    for text in texts:
        yield f"{name:<{WIDTH}}{text}".rstrip()
        name = ""


def routing(found: Found) -> Iterator[str]:
    """Whose mail it is."""
    if found["channel"] is None:
        yield f"unknown: {found['away'].get('popauth', '')}"
    elif found["channel"] == "remote":
        yield f"remote: {found['domain']} is not one of our domains"
    else:
        mailbox = {True: "; the mailbox is there", False: "; there is no such mailbox"}
        yield f"local: {found['domain']} is ours{mailbox.get(found['mailbox'], '')}"
        if found["mailbox"]:
            yield f"rule: {found['resolution']['rule']}"
    if found.get("suppressed"):
        yield f"remembered as refused for good: {found['suppressed'].get('reply', '')}"


def pauses(found: Found) -> Iterator[str]:
    """Those that stop this mail."""
    for pause in found["pauses"]:
        at = when(pause["at"], found["now"])
        yield f"{pause['what']}, by {pause['by']}, {at}: {pause['why'] or 'no reason given'}"


def queue(found: Found) -> Iterator[str]:
    """What waits, and what was said last."""
    if "scheduler" in found["away"]:
        yield f"unknown: {found['away']['scheduler']}"
        return
    if found["mail_id"] and found.get("mail") is None:
        yield f"mail {found['mail_id']} is not in the queue for {found['domain']}"
        return
    held: Found = found.get("mail") or found["queue"]
    if not held["units"]:
        yield "nothing"
        return
    counts = ", ".join(f"{there['units']} {where}" for where, there in held["stands"].items())
    some = "" if held.get("complete", True) else " (of those that were looked at)"
    yield f"{counts}{some}; the oldest accepted {when(held['oldest'], found['now'])}"
    if held["next"] is not None:
        yield f"next try {when(held['next'], found['now'])}"
    for reply in held["replies"]:
        tries = "1 attempt" if reply["attempts"] == 1 else f"{reply['attempts']} attempts"
        more = f" and {reply['recipients'] - 1} more" if reply["recipients"] > 1 else ""
        yield f"{reply['address']}{more}, after {tries}: {reply['reply']}"


def destination(found: Found) -> Iterator[str]:
    """How much may go there at once, and what holds it."""
    summary = found.get("queue")
    if summary is None or found["channel"] is None:
        return
    channel = summary["channels"][found["channel"]]
    yield f"{found['channel']} deliveries: {channel['out']} of {channel['slots']} slots taken"
    if found["channel"] == "remote":
        state = summary["state"]
        rate = f", {state['rate']:g} a second" if state["rate"] else ""
        yield (
            f"to {found['domain']}: {state['out']} out, {state['window']} at once now, "
            f"{state['limit']} at most{rate}"
        )
        if state.get("site"):
            yield f"waits for what all domains with mail hosts of {state['site']} share"
        if state["until"] > found["now"]:
            yield f"backed off until {when(state['until'], found['now'])}: {state['error']}"
        elif state["failures"]:
            yield f"not reached the last time: {state['error']}"


def plan(step: Found) -> Iterator[str]:
    """Where a delivery would go, and how."""
    if step["route"] is None:
        yield "no line of smtproutes: by MX"
    else:
        to = ", ".join(_relay(relay) for relay in step["relays"]) or "its MX hosts"
        yield f"smtproutes line {step['route'] + ':' if step['route'] else ':'} to {to}"
    names = f" ({', '.join(step['tls']['names'])})" if step["tls"]["names"] else ""
    source = f" from {', '.join(step['ips'])}" if step["ips"] else ""
    login = ", with a login" if step["login"] else ""
    lmtp = ", by LMTP" if step["lmtp"] else ""
    yield f"TLS {step['tls']['level']}{names}; as {step['helo']}{source}{login}{lmtp}"


def _relay(relay: Found) -> str:
    return f"{relay['host']} port {relay['port']}" if relay["port"] else str(relay["host"])


def dns(step: Found) -> Iterator[str]:
    """Each question with its answer."""
    if step["answers"] is None:
        yield f"no answer within {step['seconds']:.0f} s"
    for answer in step["answers"] or ():
        said = answer["trouble"] or ", ".join(answer["records"]) or "none"
        yield f"{answer['name']} {answer['kind']}: {said}  ({_seconds(answer['seconds'])})"


def hosts(step: Found) -> Iterator[str]:
    """That there is none, or that some are left out."""
    if step["outcome"]:
        yield f"{step['outcome']['outcome']}: {step['outcome']['text']}"
    if step["left_out"]:
        yield f"{step['left_out']} more are not tried, as in a delivery"


def host(step: Found) -> Iterator[str]:
    """One connection."""
    name = "" if step["name"] == step["ip"] else f"{step['name']} "
    yield f"{step['preference']} {name}{step['ip']} port {step['port']}"
    if step["skipped"]:
        yield f"  deliveries pass it over: {step['skipped']}"
    if not step["greeted"]:
        said = f": {step['reply']}" if step["reply"] and step["reply"] not in step["error"] else ""
        yield f"  no: {step['error']}{said}  ({_seconds(step['seconds'])})"
        return
    opened = step["opened"]
    yield f"  connected in {_seconds(opened['connected'])}"
    yield f"  {step['banner']}"
    yield f"  offers {_extensions(step['extensions'])}"
    yield from (f"  {line}" for line in _tls(opened, step["extensions"]))
    if step["rcpt"]:
        said = step["rcpt"]["reply"] or step["rcpt"]["text"]
        yield f"  RCPT: {step['rcpt']['outcome']}: {said}"


def _extensions(extensions: Found) -> str:
    each = (f"{name} {value}".rstrip() for name, value in extensions.items())
    return ", ".join(each) or "nothing (HELO)"


def _tls(opened: Found, extensions: Found) -> Iterator[str]:
    """What remote tells of the session, as far as it does."""
    if not opened["tls"]:
        why = (opened.get("in_clear") or {}).get("text", "")
        offered = ", though STARTTLS is offered" if "STARTTLS" in extensions else ""
        yield f"in the clear: {why}" if why else f"in the clear{offered}"
        return
    cipher = f" {opened['cipher']}" if opened.get("cipher") else ""
    yield f"{opened['tls']}{cipher}, handshake in {_seconds(opened['handshake'])}"
    if opened.get("certificate"):
        yield _certificate(opened["certificate"])
    if opened.get("verified"):
        yield "the certificate is what the policy demands"
    if opened.get("distrust"):
        yield f"it would not do for verify: {opened['distrust']}"


def _certificate(told: Found) -> str:
    names = ", ".join(told["names"]) or "no name"
    until = datetime.fromtimestamp(told["expires"], UTC).strftime("%Y-%m-%d")
    by = f", by {told['issuer']}" if told.get("issuer") else ""
    return f"certificate for {names}{by}, until {until}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
