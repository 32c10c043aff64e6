"""`python -m tests.chaos`: kills everything at random under load, and accounts for every mail.

Exit code 1 where a mail was lost, or anything else was found that should not be.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from tests.chaos import kills, report
from tests.chaos.runner import Options, run


def main() -> int:
    """Runs once; the exit code."""
    arguments = _parser().parse_args()
    file: Path | None = arguments.json
    options = Options(
        servers=arguments.servers,
        seconds=arguments.seconds,
        seed=arguments.seed,
        rate=arguments.rate,
        gap=arguments.gap,
        drain=arguments.drain,
        all_servers=arguments.all_servers,
        victims=tuple(arguments.victims.split(",")),
        log_level=arguments.log_level,
        keep=arguments.keep,
    )
    done = asyncio.run(run(options, _say))
    sys.stdout.write(report.summary(done))
    if file:
        file.write_text(json.dumps(report.as_json(done), indent=1))
    return 1 if done.failures else 0


def _say(text: str) -> None:
    sys.stderr.write(f"chaos: {text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--servers", type=int, choices=(1, 3), default=1, help="nats-servers")
    add("--seconds", type=float, default=60, help="how long mail is sent and processes killed")
    add("--seed", type=int, default=1, help="of the mails and the kills")
    add("--rate", type=float, default=15, help="mails a second")
    add("--gap", type=float, default=3, help="mean seconds between two kills; 0: none")
    add("--drain", type=float, default=240, help="most seconds until the queue is empty")
    add("--all-servers", action="store_true", help="kill all nats-servers at once, not one")
    add("--victims", default=",".join(kills.AIMS), help="kinds that are killed, with commas")
    add("--log-level", default="info", help="of the services")
    add("--keep", action="store_true", help="keep the folder also where all is well")
    add("--json", type=Path, metavar="FILE", help="write everything there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
