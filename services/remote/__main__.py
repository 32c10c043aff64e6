"""`python -m services.remote`."""

import sys

from services.remote.app import serve
from services.remote.settings import Settings
from tubepost.runtime import run

if __name__ == "__main__":
    sys.exit(run("remote", Settings, serve))
