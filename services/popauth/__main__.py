"""`python -m services.popauth`."""

import sys

from services.popauth.app import serve
from services.popauth.settings import Settings
from tubepost.runtime import run

if __name__ == "__main__":
    sys.exit(run("popauth", Settings, serve))
