"""Programs of others that some end-to-end tests need: installed from Debian when they are missing.

Must not touch what is installed already. Where nothing can be installed, the tests that need a
program are skipped on a laptop and fail in CI: there a skipped test would go unseen.
"""

import os
import shutil
import subprocess

import pytest

SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def require(program: str, package: str) -> str:
    """The path of a program, from Debian's `package`."""
    found = shutil.which(program, path=SEARCH)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(package)
        found = shutil.which(program, path=SEARCH)
    if found is None:
        text = f"{program} is missing: install the package {package}"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


def _install(package: str) -> None:
    """Without a configuration of its own, and without removing anything (one mail server each)."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ["--yes", "--quiet", "--no-remove", "--no-install-recommends"]
    for command in (["update", "--quiet"], ["install", *options, package]):
        done = subprocess.run(
            ["apt-get", *command], env=quiet, capture_output=True, check=False, timeout=300
        )
        if done.returncode:
            pytest.fail(f"apt-get {' '.join(command)}: {done.stderr.decode(errors='replace')}")
