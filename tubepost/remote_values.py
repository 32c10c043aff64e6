"""The control settings of remote: where mail goes, from where, on which terms. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from tubepost import smtproutes
from tubepost.setting import Setting, domain, number

SMTPROUTES = Setting(
    "smtproutes",
    smtproutes.parse,
    smtproutes.parse(()),
    "Where to send instead of the MX: `domain:relay:port`, `.domain:relay`, `:relay`.",
    "remote",
)
HELOHOST = Setting[str | None]("helohost", domain, None, "Host name for EHLO; else `me`.", "remote")
TIMEOUTCONNECT = Setting(
    "timeoutconnect", number(1, 3600), 60, "Seconds to wait for a connection.", "remote"
)
TIMEOUTREMOTE = Setting(
    "timeoutremote", number(1, 86_400), 1200, "Seconds to wait for a reply, at most.", "remote"
)
HOSTBACKOFF = Setting(
    "hostbackoff",
    number(0, 86_400),
    3600,
    "Seconds an address of another host that failed twice is left alone at most; 0 = never.",
    "remote",
)
