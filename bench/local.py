"""Local delivery from the queue beside Postfix's virtual(8): `python -m bench.local`.

Must not change either system's guarantees: both have a mail on disk before they forget it.
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
from bench.maildirs import MAIL_BYTES, Boxes, Deliverer, LocalPostfix, LocalTubepost
from bench.peers import BenchError
from bench.processes import Meter, cores_seconds, end_descendants
from bench.syncs import Count
from bench.throughput import CORES

SIZES = [Boxes("a", 0), Boxes("b", 2), Boxes("c", 4)]
FIRST = Boxes("w", 0)
"""Gets a few mails that nobody measures."""

WARM_UP_MAILS = 200
STALL = 60.0
LOOK_EVERY = 0.5
SETTLE = 1.0
"""Seconds metered after the last mail: taking it off the queue is work too."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One size on one system in one round. CPU in seconds; `syncs` only where they were counted."""

    mails: int
    boxes: int
    seconds: float
    cpu: float
    cpu_by_name: dict[str, float]
    busy: float
    stolen: float
    syncs: dict[str, dict[str, int]]

    @property
    def rate(self) -> float:
        return self.mails / self.seconds


Results = dict[int, dict[str, list[Delivered]]]
"""Mailboxes -> system -> one for each round."""


def sizes(text: str) -> list[Boxes]:
    """Those of SIZES that are named."""
    wanted = {int(word) for word in text.split(",")}
    return [boxes for boxes in SIZES if boxes.count in wanted]


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.local", description=__doc__)
    parser.add_argument("--mails", type=int, default=2000, help="mails a load (2000)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds, each with both (2)")
    parser.add_argument("--sizes", type=sizes, default=SIZES, help="mailboxes (1,100,10000)")
    parser.add_argument("--syncs", action="store_true", help="count fsync too; no rates then")
    parser.add_argument("--only", choices=["postfix", "tubepost"], help="one system, no ratios")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    parser.add_argument("--dir", type=Path, default="/var/tmp", help="on a real disk (/var/tmp)")
    parser.add_argument("--shards", type=int, default=2, help="of Tubepost's queue (2)")
    parser.add_argument("--plain", action="store_true", help="no fresh ext4 for each round")
    ours = str(Path(sys.prefix) / "bin" / "tubepost")
    parser.add_argument("--tubepost", default=ours, metavar="COMMAND", help="of this venv")
    return parser.parse_args()


def systems(chosen: argparse.Namespace) -> dict[str, Callable[[Path], Deliverer]]:
    """How to make each in a folder."""
    all_sizes = [FIRST, *chosen.sizes]
    makers: dict[str, Callable[[Path], Deliverer]] = {
        "postfix": lambda folder: LocalPostfix(folder, all_sizes, max(chosen.mails, WARM_UP_MAILS)),
        "tubepost": lambda folder: LocalTubepost(folder, all_sizes, chosen.tubepost, chosen.shards),
    }
    return {name: make for name, make in makers.items() if chosen.only in (None, name)}


def one_round(
    make: Callable[[Path], Deliverer], home: Path, chosen: argparse.Namespace
) -> list[Delivered]:
    """A fresh system, all sizes one after the other."""
    system = make(home)
    try:
        system.start()
        deliver(system, FIRST, min(WARM_UP_MAILS, chosen.mails))
        return [deliver(system, boxes, chosen.mails, syncs=chosen.syncs) for boxes in chosen.sizes]
    except BenchError as error:
        raise BenchError(f"{system.name}: {error}\n{system.log_tail()}") from error
    finally:
        try:
            system.stop()
        finally:
            end_descendants()


def deliver(system: Deliverer, boxes: Boxes, mails: int, *, syncs: bool = False) -> Delivered:
    """Queues, releases, and waits until the Maildirs hold all."""
    system.queue(boxes, mails)
    if any(map(os.listdir, _folders(system, boxes))):
        raise BenchError("a mail was delivered before its release")
    os.sync()
    counts = _counts(system) if syncs else {}
    meter = Meter(system.root, system.process_name)
    meter.start()
    busy, stolen = cores_seconds()
    began = time.time()
    system.release()
    _wait_for_all(system, boxes, mails)
    time.sleep(SETTLE)
    usage = meter.stop()
    busy_after, stolen_after = cores_seconds()
    return Delivered(
        mails,
        boxes.count,
        _last_change(system, boxes, mails) - began,
        usage.cpu_total,
        usage.cpu,
        busy_after - busy,
        stolen_after - stolen,
        {name: count.end() for name, count in counts.items()},
    )


def _counts(system: Deliverer) -> dict[str, Count]:
    """One for each program. Postfix starts its delivery processes itself: they are followed."""
    by_name: dict[str, list[int]] = {}
    for pid in system.pids():
        name = system.process_name(pid) if system.name == "tubepost" else "postfix"
        if name in ("local", "nats-server", "postfix"):
            by_name.setdefault(name, []).append(pid)
    folder = system.folder
    return {name: Count(pids, folder / f"strace.{name}") for name, pids in by_name.items()}


def _wait_for_all(system: Deliverer, boxes: Boxes, mails: int) -> None:
    """Raises BenchError when nothing is delivered for STALL seconds."""
    count, changed = 0, time.monotonic()
    while count < mails:
        time.sleep(LOOK_EVERY)
        before, count = count, sum(len(os.listdir(folder)) for folder in _folders(system, boxes))
        if count != before:
            changed = time.monotonic()
        elif time.monotonic() - changed > STALL:
            raise BenchError(f"{count} of {mails} mails delivered, nothing new for {STALL:.0f} s")
    if count > mails:
        raise BenchError(f"{count} mails delivered of {mails}: duplicates")


def _folders(system: Deliverer, boxes: Boxes) -> list[Path]:
    return [system.new(box) for box in boxes.all()]


def _last_change(system: Deliverer, boxes: Boxes, mails: int) -> float:
    """When the last file got its name in `new`: its ctime, seconds since 1970."""
    times = [
        entry.stat().st_ctime for folder in _folders(system, boxes) for entry in os.scandir(folder)
    ]
    if len(times) != mails:
        raise BenchError(f"{len(times)} mails delivered of {mails}")
    return max(times)


def measure(chosen: argparse.Namespace, space: disk.FolderDisk | disk.FreshDisk) -> Results:
    """All rounds. The order turns each round, so that neither system always goes first."""
    makers = systems(chosen)
    results: Results = {boxes.count: {name: [] for name in makers} for boxes in chosen.sizes}
    for number in range(chosen.rounds):
        for name in list(makers) if number % 2 == 0 else list(reversed(makers)):
            with space.fresh() as home:
                found = one_round(makers[name], home, chosen)
            for one in found:
                results[one.boxes][name].append(one)
                line = f"{one.rate:,.0f} deliveries/s, CPU ms a mail {_cpu(one):.2f}"
                print(f"round {number + 1}, {name}, {one.boxes} mailboxes: {line}", flush=True)
    return results


def _cpu(one: Delivered) -> float:
    return one.cpu / one.mails * 1000


def show(results: Results, *, syncs: bool) -> None:
    """A line for each size and system, then the ratios."""
    for boxes, by_system in results.items():
        print(f"\n{boxes} mailboxes")
        for name, found in by_system.items():
            rate = report.spread((one.rate for one in found), 0)
            print(
                f"  {name}: {rate} deliveries/s, CPU ms a mail {report.spread(map(_cpu, found), 2)}"
            )
            if syncs:
                for program_name, calls in found[-1].syncs.items():
                    each = ", ".join(f"{c} {n / found[-1].mails:.3f}" for c, n in calls.items())
                    print(f"    {program_name}, calls a mail: {each}")
        if len(by_system) == 2 and not syncs:
            pairs = list(zip(by_system["tubepost"], by_system["postfix"], strict=True))
            rates = report.spread((ours.rate / theirs.rate for ours, theirs in pairs), 2)
            cpus = report.spread((_cpu(ours) / _cpu(theirs) for ours, theirs in pairs), 2)
            print(f"  ratio: deliveries {rates}, CPU a mail {cpus}")


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
        # a mailbox of four folders takes about as much room and inodes as a mail
        space = disk.choose(
            folder,
            chosen.mails * len(chosen.sizes) + max(boxes.count for boxes in chosen.sizes),
            plain=chosen.plain,
        )
        facts = report.machine(cores)
        facts |= {"below": disk.describe(folder), "postfix": postfix.version()}
        print(*(f"{key}: {value}" for key, value in facts.items()), sep="\n")
        print(f"load: {chosen.mails} queued mails of {MAIL_BYTES} bytes for each size\n")
        results = measure(chosen, space)
    show(results, syncs=chosen.syncs)
    if chosen.json:
        rounds = {
            boxes: {name: [asdict(one) for one in found] for name, found in by_system.items()}
            for boxes, by_system in results.items()
        }
        chosen.json.write_text(json.dumps({"machine": facts, "sizes": rounds}, indent=1))


if __name__ == "__main__":
    sys.exit(program.run(lambda: bench(options())))
