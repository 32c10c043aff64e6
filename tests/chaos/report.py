"""A chaos run told: a summary for people, everything as JSON. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tests.chaos import accounting, kills
from tests.chaos.logs import Line
from tests.chaos.runner import Run
from tests.chaos.servers import Left

SHOWN = 8
"""Lines of a list in the summary; the JSON has all."""

LIVES = 3
"""Mails whose whole life is shown."""


def summary(run: Run) -> str:
    """Some ten lines; more where something failed."""
    return "\n".join([*_head(run), *_findings(run), _verdict(run)]) + "\n"


def _head(run: Run) -> Iterator[str]:
    options, account = run.options, run.account
    servers = "1 server" if options.servers == 1 else f"{options.servers} servers"
    yield (
        f"chaos: {servers}, {options.seconds:g} s at {options.rate:g} mails/s, a kill every "
        f"{options.gap:g} s, seed {options.seed}"
        + ("" if run.retries else "; no deferred mails: there is no setting retryschedule")
    )
    sent = Counter(attempt.sent for attempt in run.attempts)
    recipients = sum(len(a.recipients) for a in run.attempts if a.mail_id)
    told = "  ".join(f"{name} {count}" for name, count in sorted(sent.items()))
    yield f"  mails      {told}  (recipients accepted {recipients}, held back {run.held_back})"
    yield "  sink       " + "  ".join(f"{name} {n}" for name, n in run.sink_facts.items())
    killed = "  ".join(f"{name} {n}" for name, n in kills.by_kind(run.kills).items())
    yield f"  kills      {len(run.kills)}: {killed}  (passed over {run.passed_over})"
    yield f"  drained    {_seconds(run.drain_seconds)}, seen so after {_seconds(run.view_seconds)}"
    left = "  ".join(f"{name} {count}" for name, count in run.streams.items())
    yield f"  left       {left}  (bodies without a 250: {len(run.bodies - run.orphans)})"
    warned = "  ".join(f"{event} {count}" for event, count in run.logs.warnings.items())
    yield f"  warnings   {warned or 'none'}"
    causes = Counter(d.cause for d in account.duplicates)
    told = "  ".join(f"{cause} {count}" for cause, count in sorted(causes.items()))
    yield f"  lost       {len(account.lost)}"
    yield f"  duplicates {len(account.duplicates)}{': ' + told if told else ''}"


def _seconds(value: float | None) -> str:
    return "NEVER" if value is None else f"{value:.1f} s"


def _findings(run: Run) -> Iterator[str]:
    account = run.account
    yield from _some("LOST", [_missing(m) for m in account.lost])
    yield from _some("STUCK", [_missing(m) for m in account.stuck])
    yield from _some("LEFT", [_left(left) for left in run.left])
    yield from _some("DAMAGED", account.damaged)
    yield from _some("WRONG", account.wrong)
    yield from _some("DUPLICATE", [_duplicate(d) for d in account.duplicates])
    yield from _some("ALARM", [_alarm(a) for a in run.logs.alarms])
    yield from _some("FOREIGN LINE", run.logs.foreign)
    yield from _some("ENDED", [str(asdict(end)) for end in run.ended])
    yield from _some("EXIT CODE", [f"{name}: {code}" for name, code in run.exit_codes.items()])
    yield from _some("ORPHAN BODY", sorted(run.orphans))
    for mail_id in _suspicious(run)[:LIVES]:
        yield f"  life of {mail_id}:"
        for line in run.logs.life(mail_id):
            yield f"    {line.at:.3f} {line.process} {line.event} {_brief(line.fields)}"


def _some(title: str, texts: Sequence[str]) -> Iterator[str]:
    for text in texts[:SHOWN]:
        yield f"  {title}: {text}"
    if len(texts) > SHOWN:
        yield f"  {title}: and {len(texts) - SHOWN} more"


def _missing(missing: accounting.Missing) -> str:
    where = f" (in state {missing.state})" if missing.state else ""
    return (
        f"{missing.mail_id or missing.token} {missing.kind}, {missing.sent} at "
        f"{missing.accepted_at:.3f}: {missing.address} due in {missing.due}{where}"
    )


def _left(left: Left) -> str:
    waiting = " ".join(left.waiting[:3])
    return f"{left.key} {left.state}, attempts {left.attempts}: {waiting} {left.last}"


def _duplicate(copy: accounting.Duplicate) -> str:
    apart = copy.second - copy.first
    return f"{copy.mail_id} {copy.address}, {apart:.3f} s apart, {copy.cause}: {copy.why}"


def _alarm(line: Line) -> str:
    traceback = str(line.fields.get("exception", ""))
    told = f"{line.at:.3f} {line.process} {line.event} {_brief(line.fields)}"
    return "\n    ".join([told, *traceback.splitlines()])


def _suspicious(run: Run) -> list[str]:
    account = run.account
    found = [missing.mail_id for missing in (*account.lost, *account.stuck)]
    found += [copy.mail_id for copy in run.unexplained]
    return [mail_id for mail_id in dict.fromkeys(found) if mail_id]


def _brief(fields: dict[str, Any]) -> str:
    told = (
        "where",
        "mail_id",
        "recipient",
        "attempt",
        "text",
        "why",
        "unit",
        "bounce_id",
        "seconds",
        "next_attempt",
    )
    return " ".join(f"{name}={fields[name]}" for name in told if fields.get(name) is not None)


def _verdict(run: Run) -> str:
    if not run.failures:
        return "chaos: passed"
    return f"chaos: FAILED, {'; '.join(run.failures)}\n  everything is in {run.folder}"


def as_json(run: Run) -> dict[str, Any]:
    """All of it, for a machine."""
    return {
        "options": asdict(run.options),
        "folder": str(run.folder) if run.failures else "",
        "failures": run.failures,
        "sent": dict(Counter(attempt.sent for attempt in run.attempts)),
        "kinds": dict(Counter(a.mail.kind for a in run.attempts if a.mail_id)),
        "sink": run.sink_facts,
        "kills": [asdict(kill) for kill in run.kills],
        "drain_seconds": run.drain_seconds,
        "view_seconds": run.view_seconds,
        "streams": run.streams,
        "left": [asdict(left) for left in run.left],
        "account": asdict(run.account),
        "warnings": run.logs.warnings,
        "alarms": [asdict(alarm) for alarm in run.logs.alarms],
        "foreign": run.logs.foreign,
        "ended": [asdict(end) for end in run.ended],
    }
