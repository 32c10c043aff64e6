"""`python -m services.smtpd`."""

import sys

from services.smtpd.app import serve
from services.smtpd.settings import Settings
from tubepost.runtime import run

if __name__ == "__main__":
    sys.exit(run("smtpd", Settings, serve))
