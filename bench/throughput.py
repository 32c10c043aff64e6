"""Tubepost and Postfix under the same load on the same two cores: `python -m bench.throughput`.

Must not change either system's guarantees: both sync a mail to disk before their 250.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import disk, postfix, program, report
from bench.load import BODY_BYTES, SESSIONS, Load, Result, put
from bench.peers import BenchError, Peer, TubepostPeer
from bench.processes import end_descendants

WARM_UP = Load("warm-up", "warmup")
LOADS = (
    Load("one mail a session", "single"),
    Load("sessions reused", "reused", ("-d",)),
)
MAILBOXES = [load.mailbox for load in (WARM_UP, *LOADS)]
WARM_UP_MAILS = 200
CORES = 2

Results = dict[str, dict[str, list[Result]]]
"""Load title -> peer name -> one Result a round."""


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.throughput", description=__doc__)
    parser.add_argument("--mails", type=int, help="mails a load (3000)")
    parser.add_argument("--rounds", type=int, help="rounds, each with both systems (3)")
    parser.add_argument("--quick", action="store_true", help="300 mails, one round: does it run?")
    parser.add_argument("--only", choices=["postfix", "tubepost"], help="one system, no ratios")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    parser.add_argument("--dir", type=Path, default="/var/tmp", help="on a real disk (/var/tmp)")
    parser.add_argument("--plain", action="store_true", help="no fresh ext4 for each round")
    ours = str(Path(sys.prefix) / "bin" / "tubepost")
    parser.add_argument("--tubepost", default=ours, metavar="COMMAND", help="of this venv")
    parser.add_argument("--postfix-setting", action="append", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args()
    mails, rounds = (300, 1) if chosen.quick else (3000, 3)
    chosen.mails, chosen.rounds = chosen.mails or mails, chosen.rounds or rounds
    return chosen


def peers(chosen: argparse.Namespace) -> dict[str, Callable[[Path], Peer]]:
    """How to make each system in a folder, Postfix first."""
    makers: dict[str, Callable[[Path], Peer]] = {
        "postfix": lambda folder: postfix.PostfixPeer(folder, MAILBOXES, chosen.postfix_setting),
        "tubepost": lambda folder: TubepostPeer(folder, MAILBOXES, chosen.tubepost),
    }
    return {name: make for name, make in makers.items() if chosen.only in (None, name)}


def one_round(peer: Peer, mails: int) -> dict[str, Result]:
    """Starts a fresh system, warms it up, puts every load on it and stops it."""
    try:
        peer.start()
        put(peer, WARM_UP, min(WARM_UP_MAILS, mails))
        return {load.title: put(peer, load, mails) for load in LOADS}
    finally:
        try:
            peer.stop()
        finally:
            end_descendants()  # whatever it left, or the disk cannot be unmounted


def measure(chosen: argparse.Namespace, space: disk.FolderDisk | disk.FreshDisk) -> Results:
    """All rounds. The order turns each round, so that neither system always goes first."""
    makers = peers(chosen)
    results: Results = {load.title: {name: [] for name in makers} for load in LOADS}
    for number in range(chosen.rounds):
        for name in list(makers) if number % 2 == 0 else list(reversed(makers)):
            with space.fresh() as home:
                found = one_round(makers[name](home), chosen.mails)
            for title, result in found.items():
                results[title][name].append(result)
                print(f"round {number + 1}, {name}, {title}: {report.rates(result)}", flush=True)
    return results


def show(results: Results) -> None:
    """Tables first, then the ratios, then what was wrong."""
    for load in LOADS:
        print(f"\n{report.table(load, results[load.title])}")
    print()
    for load in LOADS:
        rounds = results[load.title]
        if "tubepost" in rounds and "postfix" in rounds:
            print(report.ratio_line(load, rounds["tubepost"], rounds["postfix"]))
    for load in LOADS:
        for line in report.warnings(results[load.title]):
            print(line)


def bench(chosen: argparse.Namespace) -> None:
    """The whole run below one temporary folder. Raises BenchError."""
    postfix.install_if_missing()
    if chosen.only != "postfix" and not shutil.which(chosen.tubepost):
        raise BenchError(
            f"{chosen.tubepost} is missing: run `make setup`, or say --tubepost COMMAND"
        )
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)  # everything started from here inherits it
    with tempfile.TemporaryDirectory(prefix="tubepost-bench-", dir=chosen.dir) as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postfix's daemons are not root
        space = disk.choose(folder, chosen.mails, plain=chosen.plain)
        with space.fresh() as home:
            facts = report.machine(cores) | {"file system": disk.describe(home)}
        facts |= {"below it": disk.describe(folder), "postfix": postfix.version()}
        print(*(f"{key}: {value}" for key, value in facts.items()), sep="\n")
        print(f"load: {chosen.mails} mails of {BODY_BYTES} bytes, {SESSIONS} sessions at a time\n")
        results = measure(chosen, space)
    show(results)
    if chosen.json:
        loads = [report.as_json(load, results[load.title]) for load in LOADS]
        chosen.json.write_text(json.dumps({"machine": facts, "loads": loads}, indent=1))


if __name__ == "__main__":
    sys.exit(program.run(lambda: bench(options())))
