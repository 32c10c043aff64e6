"""From the banner to the moment when a mail may be sent: EHLO, STARTTLS, AUTH. Pure.

Each reply has exactly one consequence, the next command or an event; client carries both out.

    banner -> ehlo (helo, lhlo) -> [starttls -> handshake -> ehlo] -> [auth ...] -> Ready
"""

from collections.abc import Callable, Mapping

from services.remote.smtp import sentences
from services.remote.smtp.commands import Command, is_unsendable
from services.remote.smtp.events import Phase, Ready, StartTls, Unusable
from services.remote.smtp.login import CANCEL, exchange
from services.remote.smtp.replies import Reply, told
from services.remote.terms import Dialect
from tubepost.outcome import status_of
from tubepost.smtproutes import Login

Next = Command | Ready | StartTls | Unusable


class Greeting:
    """`peer`: its address, for the texts. `secure`: the connection is encrypted already."""

    def __init__(
        self, peer: str, helo: str, *, starttls: bool, secure: bool, dialect: Dialect
    ) -> None:
        self._peer, self._helo, self._dialect = peer, helo, dialect
        self._secure, self._wants_tls = secure, starttls and not secure
        self._login: list[bytes] = []  # the lines of AUTH that have not been said
        self._refused = ""  # the reply to STARTTLS that was no 220
        self.extensions: dict[str, str] = {}

    def answer(self, phase: Phase, reply: Reply) -> Next:
        """What follows from the reply to the command of this phase."""
        return _ANSWERS[phase](self, reply)

    def after_tls(self) -> Command:
        """The second greeting: what the peer said before TLS is forgotten (RFC 3207 4.2)."""
        self._secure, self._wants_tls = True, False
        self.extensions.clear()
        return self._hello()

    def _on_banner(self, reply: Reply) -> Next:
        if reply.code != 220:
            return self._failed(Phase.BANNER, reply)
        if is_unsendable(self._helo):
            return self._unusable(sentences.HELO_UNSENDABLE, "4.3.5", Phase.EHLO)
        return self._hello()

    def _on_ehlo(self, reply: Reply) -> Next:
        if reply.ok:
            self.extensions.update(_extensions(reply))
            if self._wants_tls and "STARTTLS" in self.extensions:
                return Command(Phase.STARTTLS, b"STARTTLS\r\n")
            return self._log_in()
        if reply.code // 100 == 5 and not self._dialect.lmtp:
            return Command(Phase.HELO, f"HELO {self._helo}\r\n".encode())
        return self._failed(Phase.EHLO, reply)

    def _on_helo(self, reply: Reply) -> Next:
        return self._log_in() if reply.ok else self._failed(Phase.HELO, reply)

    def _on_starttls(self, reply: Reply) -> Next:
        """Any other reply than 220: on in the clear, which the shell may find too little."""
        if reply.code == 220:
            return StartTls()
        self._refused = reply.said
        return self._log_in()

    def _on_auth(self, reply: Reply) -> Next:
        if reply.code == 235:
            return Ready(self._refused)
        if reply.code == 334:
            return Command(Phase.AUTH, self._login.pop(0) if self._login else CANCEL)
        return self._login_refused(reply)

    def _hello(self) -> Command:
        verb = "LHLO" if self._dialect.lmtp else "EHLO"
        return Command(Phase.EHLO, f"{verb} {self._helo}\r\n".encode())

    def _log_in(self) -> Next:
        login = self._dialect.login
        if login is None:
            return Ready(self._refused)
        if problem := self._why_no_login(login):
            return problem
        self._login = exchange(login, self.extensions.get("AUTH", ""))
        if not self._login:
            return self._unusable(sentences.LOGIN_UNKNOWN, "4.7.8", Phase.AUTH)
        return Command(Phase.AUTH, self._login.pop(0))

    def _why_no_login(self, login: Login) -> Unusable | None:
        if not (self._secure or self._dialect.login_in_clear):
            return self._unusable(sentences.LOGIN_UNSAFE, "4.7.11", Phase.AUTH)
        if "\0" in login.user + login.password:  # it parts the fields of PLAIN
            return self._unusable(sentences.LOGIN_UNSENDABLE, "4.7.8", Phase.AUTH)
        return None

    def _login_refused(self, reply: Reply) -> Unusable:
        """Always for now: a wrong password of ours is no reason to send mail back."""
        text = told(sentences.LOGIN_REFUSED, self._peer, reply.said)
        _, _, detail = status_of(reply.said, reply.code).partition(".")
        status = "4.7.8" if detail == "0.0" else f"4.{detail}"
        return Unusable(text, reply.said, status, Phase.AUTH)

    def _failed(self, phase: Phase, reply: Reply) -> Unusable:
        text = told(sentences.GREETING_FAILED, self._peer, reply.said)
        return Unusable(text, reply.said, phase=phase)

    def _unusable(self, problem: str, status: str, phase: Phase) -> Unusable:
        text = sentences.BROKEN.format(peer=self._peer, problem=problem, status=status)
        return Unusable(text, status=status, phase=phase)


_ANSWERS: Mapping[Phase, Callable[[Greeting, Reply], Next]] = {
    Phase.BANNER: Greeting._on_banner,
    Phase.EHLO: Greeting._on_ehlo,
    Phase.HELO: Greeting._on_helo,
    Phase.STARTTLS: Greeting._on_starttls,
    Phase.AUTH: Greeting._on_auth,
}


def _extensions(reply: Reply) -> dict[str, str]:
    """Keywords and parameters of a reply to EHLO (RFC 5321 4.1.1.1); `AUTH=PLAIN` of old hosts."""
    found: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword[:5].upper() == "AUTH=":
            keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}"
        keyword = keyword.upper()
        found[keyword] = f"{found[keyword]} {parameters}" if keyword in found else parameters
    return found
