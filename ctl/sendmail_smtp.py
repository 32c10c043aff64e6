"""`sendmail -bs`: SMTP on standard input and output; each mail goes to the platform over HTTP.

For programs that speak SMTP to a pipe. As with qmail, whoever may run the
command may relay (RELAYCLIENT); the only limit on size is the platform's databytes.
"""

from collections.abc import Callable
from typing import BinaryIO

from ctl.place import Refused
from ctl.submission import submit
from services.smtpd import commands
from services.smtpd.commands import POSTMASTER
from tubepost.errors import BadInput

MAX_LINE = 2048
MAX_ERRORS = 20
"""Wrong commands after which the dialogue ends."""


class Dialogue:
    """One session on a pair of pipes; `host` names us."""

    def __init__(self, lines: BinaryIO, out: BinaryIO, host: str) -> None:
        self._in, self._out, self._host = lines, out, host
        self._sender: str | None = None
        self._utf8 = False
        self._recipients: list[str] = []
        self._errors = 0
        self._end = b"\n"

    def run(self) -> int:
        """Until QUIT or the end of input; 0."""
        self._reply(f"220 {self._host} ESMTP")
        while self._errors < MAX_ERRORS:
            line = self._in.readline(MAX_LINE)
            if not line.endswith(b"\n"):
                return 0  # the client has gone, or sends no lines
            self._end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
            verb, _, argument = line.decode("utf-8", "surrogateescape").strip().partition(" ")
            if verb.upper() == "QUIT":
                self._reply(f"221 {self._host}")
                return 0
            self._answer(verb.upper(), argument)
        self._reply("421 too many errors (#4.7.0)")
        return 0

    def _answer(self, verb: str, argument: str) -> None:
        actions: dict[str, Callable[[str], None]] = {
            "EHLO": self._hello,
            "HELO": self._hello,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._reset,
            "NOOP": lambda _: self._reply("250 ok"),
            "VRFY": lambda _: self._reply("252 send some mail, i'll try my best"),
        }
        action = actions.get(verb)
        if action:
            action(argument)
        else:
            self._wrong("502 unimplemented (#5.5.1)")

    def _hello(self, _argument: str) -> None:
        self._forget()
        self._reply(f"250-{self._host}\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8")

    def _mail(self, argument: str) -> None:
        try:
            path = commands.parse_mail(argument)
        except BadInput as error:
            self._wrong(f"501 {error} (#5.5.4)")
            return
        self._forget()
        self._sender, self._utf8 = path.address, "SMTPUTF8" in path.parameters
        self._reply("250 ok")

    def _rcpt(self, argument: str) -> None:
        if self._sender is None:
            self._wrong("503 MAIL first (#5.5.1)")
            return
        try:
            path = commands.parse_rcpt(argument, utf8=self._utf8)
        except BadInput as error:
            self._wrong(f"501 {error} (#5.5.4)")
            return
        bare = path.address == POSTMASTER
        self._recipients.append(f"{path.address}@{self._host}" if bare else path.address)
        self._reply("250 ok")

    def _data(self, _argument: str) -> None:
        if self._sender is None or not self._recipients:
            self._wrong("503 RCPT first (#5.5.1)")
            return
        self._reply("354 go ahead")
        text = self._text()
        if text is None:
            return
        query = [("sender", self._sender), *(("recipient", r) for r in self._recipients)]
        self._forget()
        try:
            self._reply(f"250 ok {submit(text, query, None)}")
        except BadInput as error:
            self._reply(f"451 {error} (#4.3.0)")
        except Refused as error:
            self._reply(f"554 {error} (#5.6.0)" if 400 <= error.status < 500 else f"451 {error}")

    def _text(self) -> bytes | None:
        """The mail, dots taken off; None where the input ends before the mail does.

        Lines end as the one with DATA did. Where that was CRLF, a dot between other line ends ends
        nothing: what stands behind would be obeyed as commands (SMTP smuggling).
        """
        lines: list[bytes] = []
        begins = True
        while True:
            line = self._in.readline()
            if not line.endswith(b"\n"):
                return None
            if begins and line in (b"." + self._end, b".\r\n"):
                return b"".join(lines)
            lines.append(line.removeprefix(b".") if begins else line)
            begins = line.endswith(self._end)

    def _reset(self, _argument: str) -> None:
        self._forget()
        self._reply("250 flushed")

    def _forget(self) -> None:
        self._sender, self._utf8 = None, False
        self._recipients = []

    def _wrong(self, text: str) -> None:
        self._errors += 1
        self._reply(text)

    def _reply(self, text: str) -> None:
        one = text if text.startswith("250-") else " ".join(text.split())
        self._out.write(one.encode("ascii", "replace") + b"\r\n")
        self._out.flush()
