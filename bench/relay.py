"""Tubepost and Postfix relaying the same mails to the same smtp-sink: `python -m bench.relay`.

Must not change either system's guarantees: both sync a mail to disk before their 250, and none
forgets it before the sink's.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import disk, postfix, program, report
from bench.load import BODY_BYTES, SESSIONS, SETTLE, STALL, Load, Result, Source
from bench.peers import BenchError
from bench.processes import Meter, cores_seconds, end_descendants
from bench.relays import AWAY, HELD, PostfixRelay, Relay, TubepostRelay, defaults
from bench.smtp_sink import SmtpSink
from bench.throughput import CORES

WARM_UP = Load("warm-up", "warmup", ("-d",), AWAY)
WARM_UP_MAILS = 200
FROM_QUEUE = Load("accepted first, then relayed", HELD, ("-d",), AWAY)
AT_ONCE = Load("accepted and relayed at once", "now", ("-d",), AWAY)
LOADS = (FROM_QUEUE, AT_ONCE)
ACCEPT_WITHIN = 600.0
"""Seconds the sending may take where nothing is relayed meanwhile."""


@dataclass(frozen=True, slots=True)
class Relayed(Result):
    """`in_maildir` is what the sink took; `connections`, how many it saw. Its CPU is `all else`."""

    connections: int = 0
    sink_cpu: float = 0.0


Results = dict[str, dict[str, list[Relayed]]]


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.relay", description=__doc__)
    parser.add_argument("--mails", type=int, default=5000, help="mails a load (5000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with both (3)")
    parser.add_argument("--only", choices=["postfix", "tubepost"], help="one system, no ratios")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    parser.add_argument("--dir", type=Path, default="/var/tmp", help="on a real disk (/var/tmp)")
    parser.add_argument("--plain", action="store_true", help="no fresh ext4 for each round")
    ours = str(Path(sys.prefix) / "bin" / "tubepost")
    parser.add_argument("--tubepost", default=ours, metavar="COMMAND", help="of this venv")
    parser.add_argument("--postfix-setting", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--control", action="append", default=[], metavar="NAME=LINE")
    return parser.parse_args()


def relays(chosen: argparse.Namespace) -> dict[str, Callable[[Path, int], Relay]]:
    """How to make each system in a folder, with the port of the sink."""
    makers: dict[str, Callable[[Path, int], Relay]] = {
        "postfix": lambda folder, port: PostfixRelay(folder, port, chosen.postfix_setting),
        "tubepost": lambda folder, port: TubepostRelay(
            folder, port, chosen.tubepost, chosen.control
        ),
    }
    return {name: make for name, make in makers.items() if chosen.only in (None, name)}


def one_round(make: Callable[[Path, int], Relay], home: Path, mails: int) -> dict[str, Relayed]:
    """A fresh system and a fresh sink, both loads, and the end of both."""
    with SmtpSink(postfix.free_port()) as sink:
        relay = make(home, sink.port)
        try:
            relay.start()
            at_once(relay, sink, WARM_UP, min(WARM_UP_MAILS, mails))
            relayed = at_once(relay, sink, AT_ONCE, mails)
            return {AT_ONCE.title: relayed, FROM_QUEUE.title: from_queue(relay, sink, mails)}
        except BenchError as error:
            raise BenchError(f"{relay.name}: {error}\n{relay.log_tail()}") from error
        finally:
            try:
                relay.stop()
            finally:
                end_descendants()  # the sink too, and what could keep the disk busy


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds: until the last 250, until the sink had the last mail; CPU of smtp-source."""

    accepted: float
    relayed: float
    source_cpu: float


def at_once(relay: Relay, sink: SmtpSink, load: Load, mails: int) -> Relayed:
    """Sends, and waits until the sink has the last one."""

    def run() -> _Times:
        wanted = sink.mails + mails
        source = Source(relay, load, mails, relay.folder / "smtp-source.log")
        try:
            last = sink.wait_for(wanted, STALL)
            source.finish()
        finally:
            source.kill()
        return _Times(source.ended - source.started, last - source.started, source.cpu)

    return measured(relay, sink, mails, run)


def from_queue(relay: Relay, sink: SmtpSink, mails: int) -> Relayed:
    """Sends while nothing goes out; only what comes after the release is measured."""
    wanted = sink.mails + mails
    relay.hold()
    source = Source(relay, FROM_QUEUE, mails, relay.folder / "smtp-source.log")
    try:
        source.finish(ACCEPT_WITHIN)
    finally:
        source.kill()
    relay.unlock()
    time.sleep(SETTLE)
    if sink.mails != wanted - mails:
        raise BenchError(f"{sink.mails - wanted + mails} mails went out before their release")

    def run() -> _Times:
        began = time.monotonic()
        relay.release()
        last = sink.wait_for(wanted, STALL)
        return _Times(source.ended - source.started, last - began, 0.0)

    return measured(relay, sink, mails, run)


def measured(relay: Relay, sink: SmtpSink, mails: int, run: Callable[[], _Times]) -> Relayed:
    """Meters the system, the sink and the cores around `run`."""
    os.sync()
    before, connections, sink_cpu = sink.mails, sink.connections, sink.cpu
    meter = Meter(relay.root, relay.process_name)
    meter.start()
    own, (busy, stolen) = time.process_time(), cores_seconds()
    times = run()
    time.sleep(SETTLE)
    usage = meter.stop()
    busy_after, stolen_after = cores_seconds()
    return Relayed(
        mails=mails,
        accepted_after=times.accepted,
        delivered_after=times.relayed,
        in_maildir=sink.mails - before,
        usage=usage,
        source_cpu=times.source_cpu,
        bench_cpu=time.process_time() - own,
        cores_busy=busy_after - busy,
        cores_stolen=stolen_after - stolen,
        connections=sink.connections - connections,
        sink_cpu=sink.cpu - sink_cpu,
    )


def measure(chosen: argparse.Namespace, space: disk.FolderDisk | disk.FreshDisk) -> Results:
    """All rounds. The order turns each round, so that neither system always goes first."""
    makers = relays(chosen)
    results: Results = {load.title: {name: [] for name in makers} for load in LOADS}
    for number in range(chosen.rounds):
        for name in list(makers) if number % 2 == 0 else list(reversed(makers)):
            with space.fresh() as home:
                found = one_round(makers[name], home, chosen.mails)
            for title, result in found.items():
                results[title][name].append(result)
                rates = f"{report.rates(result)}, {result.connections} connections"
                print(f"round {number + 1}, {name}, {title}: {rates}", flush=True)
    return results


def show(results: Results) -> None:
    """Tables first, then the ratios, then what was wrong."""
    for load in LOADS:
        rounds = results[load.title]
        more = [
            ["CPU ms a mail: smtp-sink", *(_of(r, _sink_ms) for r in rounds.values())],
            ["mails a connection", *(_of(r, _share) for r in rounds.values())],
        ]
        print(f"\n{report.table(load, rounds, more)}")
    print()
    for load in LOADS:
        rounds = results[load.title]
        if len(rounds) == 2:
            print(report.ratio_line(load, rounds["tubepost"], rounds["postfix"]))
        for line in report.warnings(rounds):
            print(line)


def _of(results: list[Relayed], value: Callable[[Relayed], float]) -> str:
    return report.spread(map(value, results), 2)


def _sink_ms(result: Relayed) -> float:
    return result.sink_cpu / result.mails * 1000


def _share(result: Relayed) -> float:
    return result.mails / max(result.connections, 1)


def bench(chosen: argparse.Namespace) -> None:
    """The whole run below one temporary folder. Raises BenchError."""
    postfix.install_if_missing()
    if chosen.only != "postfix" and not shutil.which(chosen.tubepost):
        raise BenchError(f"{chosen.tubepost} is missing: run `make setup`, or say --tubepost")
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory(prefix="tubepost-bench-", dir=chosen.dir) as name:
        folder = Path(name)
        folder.chmod(0o755)
        space = disk.choose(folder, chosen.mails, plain=chosen.plain)
        facts = report.machine(cores)
        facts |= {"below": disk.describe(folder), "postfix": postfix.version()}
        facts |= {"its defaults": defaults()}
        print(*(f"{key}: {value}" for key, value in facts.items()), sep="\n")
        print(f"load: {chosen.mails} mails of {BODY_BYTES} bytes, {SESSIONS} sessions at a time\n")
        results = measure(chosen, space)
    show(results)
    if chosen.json:
        rounds = {
            title: {name: [asdict(one) for one in found] for name, found in peers.items()}
            for title, peers in results.items()
        }
        chosen.json.write_text(json.dumps({"machine": facts, "loads": rounds}, indent=1))


if __name__ == "__main__":
    sys.exit(program.run(lambda: bench(options())))
