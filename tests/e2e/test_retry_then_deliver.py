"""A deferred mail keeps its place in the schedule, whatever happens to the platform meanwhile.

The first retry of a remote mail is at 400 s of age; that it then goes out is proven with a clock
that can be moved, in tests/scheduler/test_owner.py.
"""

from typing import Any

import pytest

from tests.e2e.platform import NewPlatform, Platform, until
from tests.e2e.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LATER = "451 4.7.1 greylisted, come back later"


def queue(platform: Platform) -> list[dict[str, Any]]:
    mails: list[dict[str, Any]] = platform.json("qread")
    return mails


def recipients(platform: Platform) -> dict[str, dict[str, Any]]:
    return {r["address"]: r for mail in queue(platform) for r in mail["recipients"]}


def test_a_deferred_mail_waits_for_the_same_instant_after_a_restart_and_after_a_kill(
    new_platform: NewPlatform, sink: Sink
) -> None:
    sink.answers["bob"] = LATER
    platform = new_platform("--processes").start()
    platform.ok("control", "set", "rcpthosts", "far.example")
    platform.ok("control", "set", "smtproutes", sink.route("far.example"))
    platform.ok("control", "set", "retryjitter", "0")
    with platform.smtp() as client:
        to = ["ann@far.example", "bob@far.example"]
        client.sendmail("joe@client.example", to, "Subject: x\r\n\r\nHi.\r\n")
    [mail] = sink.wait_for(1, 30)
    assert mail.recipients == ("ann@far.example",)
    until(lambda: recipients(platform)["bob@far.example"]["attempts"] == 1, 20, "the deferral")

    [before] = queue(platform)
    ann, bob = before["recipients"]
    assert (ann["address"], ann["done"]) == ("ann@far.example", True)
    assert (bob["address"], bob["done"], bob["channel"]) == ("bob@far.example", False, "remote")
    assert LATER in bob["reply"]
    wait = bob["next_attempt"] - before["created"]
    assert wait in {400.0, 441.0, 484.0}, "(isqrt(age) + 20)^2 for an age below 9 s"
    lines = platform.ok("qread").splitlines()
    assert lines[0].endswith(f"#{before['id']}  {before['size']}  <joe@client.example>")
    assert lines[1:] == ["  done\tremote\tann@far.example", "\tremote\tbob@far.example"]

    assert platform.stop() == 0
    platform.start()
    assert queue(platform) == [before]
    platform.kill9()
    platform.start()
    assert queue(platform) == [before]
    assert len(sink.mails) == 1, "who has it does not get it again"
    assert platform.stop() == 0
