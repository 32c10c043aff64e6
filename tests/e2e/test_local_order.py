"""What local does in the kernel, in order: a power failure at any point loses no delivered mail.

The order is all that a test can show of it: content on disk, then the name in new, then the folder
on disk, and only then is the mail taken off the queue.
"""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import Platform
from tests.e2e.tools import require

pytestmark = pytest.mark.e2e

CALLS = "fsync,fdatasync,syncfs,rename,renameat,renameat2,write,writev,sendto,sendmsg"
SHOWN = 600
"""Octets of what is written that strace shows: enough for a purge and its filter."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("order") / "data", "--processes")
    platform.start().with_accounts("joe")
    yield platform
    platform.release()


def steps(platform: Platform, table: Path, mails: int) -> list[str]:
    """The calls local makes while so many mails are delivered, all released at one time."""
    strace = require("strace", "strace")
    platform.ok("queue", "pause", "local")
    with platform.smtp() as client:
        for _ in range(mails):
            client.sendmail("eve@client.example", ["joe@example.org"], "Subject: x\r\n\r\nHi.\r\n")
    before = len(platform.maildir("joe@example.org"))
    pid = str(platform.pid_of("local"))
    options = ["-f", "-y", "-s", str(SHOWN), "-e", f"trace={CALLS}", "-o", str(table), "-p", pid]
    tracer = subprocess.Popen([strace, *options], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr
    assert "attached" in tracer.stderr.readline()
    platform.ok("queue", "resume", "local")
    platform.wait_for_empty_queue(30)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=30)
    assert len(platform.maildir("joe@example.org")) == before + mails
    return table.read_text().splitlines()


def at(lines: list[str], pattern: str) -> list[int]:
    return [number for number, line in enumerate(lines) if re.search(pattern, line)]


def ended(lines: list[str], begun: int) -> int:
    """Where the call returns: strace writes one that was interrupted by others in two lines."""
    if "<unfinished" not in lines[begun]:
        return begun
    pid, call = re.match(r"(\d+) +(\w+)", lines[begun]).groups()  # type: ignore[union-attr]
    return next(n for n in at(lines, rf"^{pid} +<\.\.\. {call} resumed") if n > begun)


def test_a_lone_mail_is_on_disk_before_its_name_and_that_before_the_outcome(
    platform: Platform, tmp_path: Path
) -> None:
    lines = steps(platform, tmp_path / "lone", 1)
    [content] = at(lines, r"fsync\(\d+<[^>]*/Maildir/tmp/")
    [name] = at(lines, r"rename\w*\(.*/Maildir/tmp/.*/Maildir/new/")
    [folder] = at(lines, r"fsync\(\d+<[^>]*/Maildir/new>")
    outcome = at(lines, r"STREAM\.PURGE\.QUEUE_\d|PUB q\.\d")[0]
    order = [ended(lines, content), name, ended(lines, name), folder, ended(lines, folder), outcome]
    assert order == sorted(order), "\n".join(lines)


def test_many_mails_are_on_disk_before_any_has_its_name(platform: Platform, tmp_path: Path) -> None:
    lines = steps(platform, tmp_path / "many", 12)
    names = at(lines, r"rename\w*\(.*/Maildir/tmp/.*/Maildir/new/")
    contents = at(lines, r"syncfs\(|fsync\(\d+<[^>]*/Maildir/tmp/")
    synced = at(lines, r"fsync\(\d+<[^>]*/Maildir/new>")
    outcomes = at(lines, r"STREAM\.PURGE\.QUEUE_\d|PUB q\.\d")
    assert len(names) == 12
    for name in names:
        assert any(ended(lines, content) < name for content in contents)
    for number, outcome in enumerate(outcomes, 1):
        safe = [n for n in names if any(n < s and ended(lines, s) < outcome for s in synced)]
        assert len(safe) >= number
