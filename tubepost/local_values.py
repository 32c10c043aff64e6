"""The control settings of local delivery, which smtpd reads too: what an address stands for. Pure.

Part of the table in control_values, which finds every Setting of this module.
"""

from tubepost.setting import Setting, some_of

EXTENSIONS = Setting[tuple[str, ...]](
    "extensions",
    some_of("-", "+", "none"),
    ("-", "+"),
    "What parts a mailbox's name from an extension of it, `joe-lists` or `joe+lists`; `none`: "
    "there are no extensions.",
    "local",
)
