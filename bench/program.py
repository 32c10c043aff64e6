"""What every bench does around its own work: ends what it started, says in a line why it failed."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from bench.peers import BenchError
from bench.processes import adopt_orphans, end_descendants


def run(bench: Callable[[], None]) -> int:
    """Exit code 0 with numbers, 1 with the reason why there are none."""
    signal.signal(signal.SIGTERM, _terminated)
    adopt_orphans()
    try:
        bench()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        end_descendants()
    return 0


def _terminated(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # an exception, so that everything below is stopped on the way out
