"""What the bench prints: a table a load, ratio lines, and the same as JSON. Must not measure."""

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.load import Load, Result

Rounds = Mapping[str, Sequence[Result]]
"""The results of one load: peer name -> one Result a round."""

MIB = 1024 * 1024
Value = Callable[[Result], float]

MEASURES: dict[str, Value] = {
    "accepted": lambda r: r.accepted_rate,
    "delivered": lambda r: r.delivered_rate,
    "CPU a mail": lambda r: r.usage.cpu_total / r.mails,
    "memory": lambda r: r.usage.peak_memory,
}
"""What is compared; of the last two, less is better."""


def spread(values: Iterable[float], digits: int) -> str:
    """Median (least..greatest); a dash where there is nothing."""
    found = sorted(values)
    if not any(found):
        return "-"
    low, mid, high = (f"{v:,.{digits}f}" for v in (found[0], statistics.median(found), found[-1]))
    return f"{mid} ({low}..{high})" if len(found) > 1 else mid


def rates(result: Result) -> str:
    """One result in a few words, for the line printed when it is there."""
    return f"{result.accepted_rate:,.0f} accepted/s, {result.delivered_rate:,.0f} delivered/s"


def table(load: Load, rounds: Rounds, more: Iterable[Sequence[str]] = ()) -> str:
    """One load: a row a measure, a column a peer. `more`: rows that only this bench has."""
    rows = [
        [load.title, *rounds],
        _row("accepted/s", rounds, MEASURES["accepted"], 0),
        _row("delivered/s", rounds, MEASURES["delivered"], 0),
        _row("CPU ms a mail", rounds, _per_mail(lambda r: r.usage.cpu_total), 2),
        *(_row(f"  {name}", rounds, _per_mail(_cpu_of(name)), 2) for name in _names(rounds)),
        _row("peak memory MiB", rounds, lambda r: r.usage.peak_memory / MIB, 0),
        _row("peak processes", rounds, lambda r: r.usage.peak_processes, 0),
        _row("CPU ms a mail: smtp-source", rounds, _per_mail(lambda r: r.source_cpu), 2),
        _row("CPU ms a mail: this bench", rounds, _per_mail(lambda r: r.bench_cpu), 2),
        _row("CPU ms a mail: all else", rounds, _per_mail(lambda r: r.other_cpu), 2),
        _row("CPU ms a mail: taken by the host", rounds, _per_mail(lambda r: r.cores_stolen), 2),
        *more,
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def ratio_line(load: Load, ours: Sequence[Result], theirs: Sequence[Result]) -> str:
    """Ours over theirs, round by round: the median and the spread of the rounds' ratios."""
    parts = []
    for name, value in MEASURES.items():
        ratios = (value(a) / value(b) for a, b in zip(ours, theirs, strict=True))
        parts.append(f"{name} {spread(ratios, 2)}")
    return f"{load.title}: {', '.join(parts)}"


def warnings(rounds: Rounds) -> list[str]:
    """A line for each load that left more mails in the Maildir than were sent."""
    return [
        f"WARNING: {peer} delivered {result.in_maildir} of {result.mails} mails: duplicates"
        for peer, results in rounds.items()
        for result in results
        if result.in_maildir != result.mails
    ]


def as_json(load: Load, rounds: Rounds) -> dict[str, object]:
    """Every raw number of a load."""
    results = {peer: [asdict(result) for result in found] for peer, found in rounds.items()}
    return {"load": load.title, "options": load.options, "results": results}


def machine(cores: Iterable[int]) -> dict[str, str]:
    """What the numbers depend on besides the two programs."""
    return {
        "cpu": _cpu_model(),
        "cores used": ",".join(map(str, cores)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // MIB} MiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _per_mail(seconds: Value) -> Value:
    return lambda result: seconds(result) / result.mails * 1000


def _cpu_of(name: str) -> Value:
    return lambda result: result.usage.cpu.get(name, 0.0)


def _row(title: str, rounds: Rounds, value: Value, digits: int) -> list[str]:
    return [title, *(spread(map(value, results), digits) for results in rounds.values())]


def _names(rounds: Rounds) -> list[str]:
    """Names that used CPU, the busiest first; below 5 microseconds a mail would print as 0.00."""
    used: dict[str, float] = {}
    for result in (result for results in rounds.values() for result in results):
        for name, seconds in result.usage.cpu.items():
            used[name] = max(used.get(name, 0.0), seconds / result.mails)
    return sorted((name for name in used if used[name] >= 5e-6), key=lambda name: -used[name])
