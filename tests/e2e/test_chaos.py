"""A short chaos run on one nats-server, and one on a cluster of three: make chaos runs longer ones.

What is killed when depends on the seed alone; what it hits depends on the machine. Whatever it
hits, no accepted mail may be lost, and none may come twice without an excuse.
"""

import sys

import pytest

from tests.chaos.report import summary
from tests.chaos.runner import Options, run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("servers", [1, 3])
async def test_no_accepted_mail_is_lost_whatever_is_killed(servers: int) -> None:
    """A killed worker's jobs come again after a minute, so this takes about two."""
    done = await run(Options(servers=servers, seconds=30, seed=7, rate=12, gap=2.5))
    sys.stdout.write(summary(done))
    assert len(done.kills) >= 5, "nothing was tested"
    assert sum(1 for attempt in done.attempts if attempt.mail_id) > 100, "no load"
    assert done.failures == [], summary(done)
