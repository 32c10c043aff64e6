"""The number of shards of a whole platform: refused where it is another one, changed by command."""

import subprocess

import pytest

from tests.e2e.platform import LISTENERS, TUBEPOST, NewPlatform, Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MAILS = 12


def reshard(platform: Platform, shards: int) -> "subprocess.CompletedProcess[str]":
    command = [TUBEPOST, "reshard", str(shards), "--data", str(platform.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def fails_to_start(platform: Platform, *options: str) -> str:
    """The last line of stderr of a platform that does not start; nothing on stdout."""
    free = [f"--{name}=127.0.0.1:0" for name in (*LISTENERS, "admin")]
    command = [TUBEPOST, "up", f"--data={platform.data}", *free, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("mode", [(), ("--processes",)], ids=["one", "five"])
def test_a_queue_that_holds_mail_is_resharded(
    new_platform: NewPlatform, mode: tuple[str, ...]
) -> None:
    platform = new_platform(*mode).start().with_accounts("joe")
    platform.ok("control", "set", "concurrencylocal", "0")
    with platform.smtp() as client:
        for _ in range(MAILS):
            client.sendmail("eve@far.example", ["joe@example.org"], "X: y\n\nHi.\n")
    sent = {mail["id"] for mail in platform.json("qread")}
    assert len(sent) == MAILS
    assert platform.stop() == 0
    assert fails_to_start(platform, "--shards=3", *mode) == (
        "tubepost: the queue has 2 shards, not 3; start with 2, or run: tubepost reshard 3"
    )
    done = reshard(platform, 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the queue has 3 shards now; ")
    resharded = new_platform("--shards=3", *mode, data=platform.data.name).start()
    assert {mail["id"] for mail in resharded.json("qread")} == sent
    resharded.ok("control", "unset", "concurrencylocal")
    resharded.wait_for_empty_queue(30)
    assert len(resharded.maildir("joe@example.org")) == MAILS
    assert resharded.stop() == 0


def test_it_is_refused_while_the_platform_runs(shared: Platform) -> None:
    done = reshard(shared, 3)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"tubepost: another tubepost runs on {shared.data}; stop it")


def test_a_folder_without_a_queue_is_refused_in_one_line(new_platform: NewPlatform) -> None:
    platform = new_platform()
    done = reshard(platform, 3)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"tubepost: no tubepost has run on {platform.data}; give")
    assert not platform.data.exists()
