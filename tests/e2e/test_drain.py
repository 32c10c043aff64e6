"""How a platform begins and ends: signals, the ready line, who can read its files, the lock."""

import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.e2e.platform import LISTENERS, TUBEPOST, NewPlatform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize(
    ("options", "number"),
    [((), signal.SIGINT), (("--processes",), signal.SIGTERM), (("--processes",), signal.SIGINT)],
    ids=["one INT", "five TERM", "five INT"],
)
def test_a_signal_ends_it_with_0(
    new_platform: NewPlatform, options: tuple[str, ...], number: signal.Signals
) -> None:
    platform = new_platform(*options).start()
    names = [word.partition("=")[0] for word in platform.ready_line.split()]
    assert names == ["ready", *LISTENERS, "admin", "durability"]
    with platform.ready_to_kill():
        assert platform.stop(number) == 0
    assert platform.rest_of_stdout() == "", "stdout has the ready line and nothing else"


def test_secrets_are_for_their_user_alone(new_platform: NewPlatform) -> None:
    platform = new_platform().start()
    platform.with_accounts("joe")
    with platform.smtp() as client:
        client.sendmail("", ["joe@example.org"], "private\r\n")
    assert platform.stop() == 0
    assert mode(platform.data) == 0o700
    assert mode(platform.data / "token") == 0o600
    entries = list(platform.data.rglob("*"))
    assert [e for e in entries if mode(e) & 0o077] == []


def test_a_second_one_on_the_same_data_is_refused(new_platform: NewPlatform) -> None:
    platform = new_platform().start()
    second = subprocess.run(
        [TUBEPOST, "up", "--data", str(platform.data), "--admin", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    why = f"another tubepost runs on {platform.data}; stop it, or give another --data"
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == f"tubepost: {why}\n"
    assert platform.stop() == 0


def test_a_killed_parent_leaves_no_process_behind(new_platform: NewPlatform) -> None:
    platform = new_platform("--processes").start()
    assert platform.kill_parent_alone() == []
    platform.start()  # and the folder's lock is free
    assert platform.stop() == 0
