"""Tubepost with a long queue and beside floods: `python -m bench.queue`, or `make bench-queue`.

Must not be a test: it reports, on a quiet machine, and asserts no time.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench import disk, flood, lone, postfix, program, queue_report, report, scale
from bench.platform import Platform

CORES = 2
SIZES = "25000,100000"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.queue", description=__doc__)
    parser.add_argument("--sizes", type=scale.sizes, default=scale.sizes(SIZES), help=SIZES)
    parser.add_argument("--mails", type=int, default=2000, help="mails a load (2000)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds a size (2)")
    parser.add_argument("--paced", type=int, default=750, help="paced mails, 50 a second (750)")
    parser.add_argument("--line", type=int, default=100_000, help="mails due at one host (100000)")
    parser.add_argument(
        "--lone", type=int, default=100, help="lone mails a flood, 1 a second (100)"
    )
    parser.add_argument("--only", choices=["scale", "fairness"], help="one of the two parts")
    parser.add_argument("--scenario", action="append", help="of fairness, one title; may repeat")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    parser.add_argument("--dir", type=Path, default="/var/tmp", help="on a real disk (/var/tmp)")
    ours = str(Path(sys.prefix) / "bin" / "tubepost")
    parser.add_argument("--tubepost", default=ours, metavar="COMMAND", help="of this venv")
    return parser.parse_args()


def measure_scale(chosen: argparse.Namespace, folder: Path) -> list[scale.Measured]:
    """Every size, each on a platform of its own."""
    pace = lone.Pace(count=chosen.paced, every=0.02)
    plan = scale.Plan(chosen.tubepost, chosen.mails, chosen.rounds, pace)
    found = []
    for count in chosen.sizes:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            found.append(scale.measure(Path(name), count, plan))
        print(f"\n{queue_report.scale_table(found[-1:])}\n", flush=True)
    return found


def measure_fairness(chosen: argparse.Namespace, folder: Path) -> dict[str, flood.Outcome]:
    """Every flood, each on a platform of its own."""
    pace = lone.Pace(count=chosen.lone, every=1.0)
    outcomes: dict[str, flood.Outcome] = {}
    for scenario in flood.scenarios(chosen.line):
        if chosen.scenario and scenario.title not in chosen.scenario:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as name:
            platform = Platform(Path(name, "platform"), [], chosen.tubepost)
            try:
                platform.start()
                platform.warm_up()
                outcomes[scenario.title] = flood.measure(platform, scenario, pace)
            finally:
                platform.stop()
        print(f"{queue_report.fairness_table(outcomes)}\n", flush=True)
    return outcomes


def bench(chosen: argparse.Namespace) -> None:
    """The whole run below one temporary folder. Raises BenchError."""
    postfix.install_if_missing()  # for smtp-source
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)  # everything started from here inherits it
    with tempfile.TemporaryDirectory(prefix="tubepost-bench-", dir=chosen.dir) as name:
        folder = Path(name)
        facts = report.machine(cores) | {"file system": disk.describe(folder)}
        print(*(f"{key}: {value}" for key, value in facts.items()), sep="\n")
        found = measure_scale(chosen, folder) if chosen.only != "fairness" else []
        outcomes = measure_fairness(chosen, folder) if chosen.only != "scale" else {}
    if found:
        print(f"\n{queue_report.scale_table(found)}\n\n{queue_report.verdict(found)}")
    if outcomes:
        print(f"\n{queue_report.fairness_table(outcomes)}")
    if chosen.json:
        raw = {
            "machine": facts,
            "scale": [one.as_json() for one in found],
            "fairness": {title: asdict(outcome) for title, outcome in outcomes.items()},
        }
        chosen.json.write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    sys.exit(program.run(lambda: bench(options())))
