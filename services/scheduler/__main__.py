"""`python -m services.scheduler`."""

import sys

from services.scheduler.app import serve
from services.scheduler.settings import Settings
from tubepost.runtime import run

if __name__ == "__main__":
    sys.exit(run("scheduler", Settings, serve))
