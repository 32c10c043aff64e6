"""The examples do what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.platform import PASSWORD, Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]


def test_the_demonstration_goes_through() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "Every step did what it says."


def test_send_one_sends_one(shared: Platform, tmp_path: Path) -> None:
    text = (ROOT / "examples/send_one.py").read_text()
    for name, standard in (("smtp", 2525), ("pop3", 2110)):
        assert f'"127.0.0.1", {standard})' in text
        text = text.replace(str(standard), str(shared.addresses[name][1]))
    script = tmp_path / "send_one.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, str(script), "ann@example.org", PASSWORD],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("+OK ")
