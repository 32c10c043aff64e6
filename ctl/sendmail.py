"""The commands `sendmail`, `mailq` and `newaliases`, for programs that know no other way to send.

Exit codes are sysexits(3)'s, as such programs read them. One line on standard error says why.
Source: sendmail(8) of Postfix, qmail's sendmail.c and qmail-inject(8) (INJ-1, INJ-2).
"""

import getpass
import os
import secrets
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ctl import sendmail_options
from ctl.place import Refused
from ctl.sendmail_options import Options
from ctl.submission import submit
from tubepost.address import Address, parse_address, parse_domain
from tubepost.address_list import addresses
from tubepost.errors import BadInput
from tubepost.inject import Author, Injected, injected

USAGE, DATA, TEMPORARY, DENIED = 64, 65, 75, 77

_CODES = {400: DATA, 401: DENIED, 403: DENIED, 413: DATA, 422: DATA}
"""By the status of the platform's answer; whatever else there is may pass."""

_HOST = ("QMAILHOST", "MAILHOST")
_USER = ("QMAILUSER", "MAILUSER", "USER", "LOGNAME")
_NAME = ("QMAILNAME", "MAILNAME", "NAME")
"""qmail-inject's variables, in order."""


def main() -> int:
    """Runs the command that it was called as; the exit code."""
    called = Path(sys.argv[0]).name
    try:
        return _run(called, sys.argv[1:])
    except BadInput as error:
        return _say(called, str(error), DATA)
    except Refused as error:
        return _say(called, str(error), _CODES.get(error.status, TEMPORARY))
    except KeyboardInterrupt:
        return _say(called, "stopped; nothing was sent", TEMPORARY)


def _run(called: str, arguments: Sequence[str]) -> int:
    if called == "newaliases":
        text = "there is no alias file here; see: tubepost alias --help"
        return _say(called, text, USAGE)
    try:
        options = Options("p") if called == "mailq" else sendmail_options.parse(arguments)
    except BadInput as error:
        return _say(called, str(error), USAGE)
    match options.mode:
        case "p":
            return _queue()
        case "s":
            return _smtp()
        case _:
            return _take(called, options)


def _queue() -> int:
    from ctl import main as tubepost  # here: sending a mail needs nothing of it

    sys.argv = ["tubepost", "qread"]
    return tubepost.main()


def _smtp() -> int:
    from ctl.sendmail_smtp import Dialogue  # here: as above

    return Dialogue(sys.stdin.buffer, sys.stdout.buffer, author(os.environ).host).run()


def _take(called: str, options: Options) -> int:
    who = author(os.environ, options.name)
    if not options.recipients and not options.from_header:
        return _say(called, "say who gets the mail: give addresses, or -t", USAGE)
    named = [a for text in options.recipients for a in addresses(text, who.host)]
    sender = _sender(options, who)
    raw = sys.stdin.buffer.read()
    mail = injected(until_dot(raw) if options.dots else raw, who, now=time.time(), mark=_mark())
    submit(mail.text, _query(options, sender, named, mail), None)
    return 0


def author(environment: Mapping[str, str], name: str = "") -> Author:
    """Who calls, by qmail-inject's variables; `name`: of -F. Raises BadInput."""

    def first(names: Sequence[str]) -> str:
        return next((environment[n] for n in names if environment.get(n)), "")

    host = parse_domain(first(_HOST) or socket.gethostname(), utf8=True)
    address = parse_address(f"{first(_USER) or getpass.getuser()}@{host}", utf8=True)
    return Author(address, name or first(_NAME), host)


def _sender(options: Options, who: Author) -> str:
    if options.sender is None:
        return str(who.address)
    found = addresses(options.sender, who.host)
    if len(found) > 1:
        raise BadInput("-f has one address")
    return str(found[0]) if found else ""


def _query(
    options: Options, sender: str, named: Sequence[Address], mail: Injected
) -> list[tuple[str, str]]:
    of_header = mail.recipients if options.from_header else ()
    recipients = dict.fromkeys((*map(str, named), *of_header))
    if not recipients:
        raise BadInput("no recipients: the header names nobody in To, Cc or Bcc")
    dsn = {"notify": options.notify, "ret": options.ret, "envid": options.envid}
    wishes = [(name, value) for name, value in dsn.items() if value]
    return [("sender", sender), *(("recipient", r) for r in recipients), *wishes]


def until_dot(raw: bytes) -> bytes:
    """What stands before a line of one dot: without -i it ends the mail."""
    text = b"\n" + raw.replace(b"\r\n", b"\n")
    end = text.find(b"\n.\n")
    return raw if end < 0 else text[1 : end + 1]


def _mark() -> str:
    """As qmail's Message-IDs begin: the time, so that people can read it."""
    return f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}.{secrets.token_hex(8)}.tubepost"


def _say(called: str, text: str, code: int) -> int:
    sys.stderr.write(f"{called}: {' '.join(text.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
