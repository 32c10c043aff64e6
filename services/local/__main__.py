"""`python -m services.local`."""

import sys

from services.local.app import serve
from services.local.settings import Settings
from tubepost.runtime import run

if __name__ == "__main__":
    sys.exit(run("local", Settings, serve))
