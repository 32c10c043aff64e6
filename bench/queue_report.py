"""The tables of the queue bench. Must not measure."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.flood import Outcome
from bench.lone import Delays
from bench.report import MIB, spread
from bench.scale import SERVICES, Measured, Side

FAIRNESS = [
    "a lone mail beside",
    *("p50 s", "p99 s", "most s", "accept p50 s", "accept p99 s"),
    *("mails", "refused", "late", "queued"),
]
Cell = Callable[[Side], str]


def scale_table(found: Sequence[Measured]) -> str:
    """A row a measure; two columns a size: the empty platform of that run, and the full one."""
    rows: list[list[str]] = [["queued mails"], ["octets of a queued body"]]
    for one in found:
        rows[0] += ["0", f"{one.count:,}"]
        rows[1] += ["", f"{one.size:,}"]
    for title, cell in _measures(found).items():
        rows.append([title, *(cell(side) for one in found for side in (one.empty, one.full))])
    rows += [_only_full("ratio of delivered/s", found, lambda m: spread(m.ratios, 2))]
    for when in ("loaded", "worked", "restart", "after kill -9"):
        for service in SERVICES:
            rows.append(_each_mail(f"{when} {service}", found))
    return aligned(rows)


def _only_full(title: str, found: Sequence[Measured], cell: Callable[[Measured], str]) -> list[str]:
    return [title, *(text for one in found for text in ("", cell(one)))]


def _each_mail(name: str, found: Sequence[Measured]) -> list[str]:
    """Octets of memory more than the empty platform's, for each queued mail."""

    def cell(one: Measured) -> str:
        return f"{(one.full.memory[name] - one.empty.memory[name]) / one.count:,.0f}"

    return _only_full(f"octets a queued mail, {name}", found, cell)


def _measures(found: Sequence[Measured]) -> Mapping[str, Cell]:
    measures: dict[str, Cell] = {
        "accepted/s": lambda s: spread((r.accepted_rate for r in s.loads), 0),
        "delivered/s": lambda s: spread((r.delivered_rate for r in s.loads), 0),
        "CPU ms a mail": lambda s: spread((r.usage.cpu_total / r.mails * 1e3 for r in s.loads), 2),
    }
    for name in ("smtpd", "nats-server", "scheduler", "local"):
        measures[f"  {name}"] = _cpu(name)
    measures |= _delays("paced", lambda s: s.paced)
    measures |= _delays("paced, queue looked at", lambda s: s.disturbed)
    for question in found[0].full.asked:
        measures[f"ms: {question}"] = _asked(question)
    for name in found[0].full.restarts:
        for part in ("stop", "ready", "delivered", "loaded"):
            measures[f"{name}, s: {part}"] = _restarted(name, part)
        measures[f"{name}: shards lost"] = _shards_lost(name)
    for name in found[0].full.memory:
        measures[f"MiB, {name}"] = _weight(name)
    return measures


def _cpu(name: str) -> Cell:
    return lambda s: spread((r.usage.cpu.get(name, 0.0) / r.mails * 1e3 for r in s.loads), 2)


def _asked(question: str) -> Cell:
    def cell(side: Side) -> str:
        return f"{side.asked[question] * 1000:,.1f}" if question in side.asked else ""

    return cell


def _restarted(name: str, part: str) -> Cell:
    return lambda s: f"{getattr(s.restarts[name], part):.1f}"


def _shards_lost(name: str) -> Cell:
    return lambda s: str(s.restarts[name].lost)


def _weight(name: str) -> Cell:
    return lambda s: f"{s.memory[name] / MIB:,.0f}"


def _delays(title: str, of: Callable[[Side], Sequence[Delays]]) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for what, share in (("accept", 0.5), ("accept", 0.99), ("delivery", 0.5), ("delivery", 0.99)):
        cells[f"{title}, ms: {what} p{share * 100:.0f}"] = _delay(what, share, of)
    cells[f"{title}: refused, late"] = lambda s: _lost(of(s))
    return cells


def _delay(what: str, share: float, of: Callable[[Side], Sequence[Delays]]) -> Cell:
    def seconds(delays: Delays) -> float:
        return delays.accept_at(share) if what == "accept" else delays.arrive_at(share)

    return lambda s: spread((seconds(d) * 1000 for d in of(s)), 0)


def _lost(delays: Sequence[Delays]) -> str:
    return f"{sum(len(d.refused) for d in delays)}, {sum(d.late for d in delays)}"


def fairness_table(outcomes: Mapping[str, Outcome]) -> str:
    """A row a scenario; delays of the lone mails from their 250 to the other host."""
    rows = [FAIRNESS]
    for title, outcome in outcomes.items():
        d = outcome.delays
        figures = [d.arrive_at(0.5), d.arrive_at(0.99), d.arrive_at(1)]
        figures += [d.accept_at(0.5), d.accept_at(0.99)]
        counts = [len(d.arrive), len(d.refused), d.late]
        queued = f"{outcome.queued[0]:,} to {outcome.queued[1]:,}"
        rows.append([title, *(f"{f:.3f}" for f in figures), *map(str, counts), queued])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def verdict(found: Sequence[Measured]) -> str:
    """The bar: 0.9 of the empty queue's rate."""
    return "\n".join(
        f"{one.count:,} queued: {median(one.ratios):.2f} of the empty queue's rate (bar: 0.90)"
        for one in found
    )
