"""One SMTP session with another host: how it begins, mails over it, how it ends.

It decides nothing about mail: what octets mean is smtp.client's, which host comes next attempt's.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.remote.connect_errors import local_fault, reason
from services.remote.link import Link, connect
from services.remote.mx import Host
from services.remote.smtp.announced import mail_max
from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import MailEnd, Phase, Ready, StartTls, Unusable
from services.remote.terms import Terms
from services.remote.tls import LOST, TlsError, TlsProblem, refusal
from services.remote.tls_fallbacks import Fallbacks
from tubepost.outcome import Delivered, Outcome
from tubepost.record import Envelope
from tubepost.tls_policy import TlsPolicy

LONG = 256 * 1024
"""Octets of a body from which on a thread makes it ready: seconds for the longest."""

_WELCOME = frozenset({Phase.BANNER, Phase.EHLO, Phase.HELO})


@dataclass(frozen=True, slots=True)
class TryNext:
    """Another host may be asked. `reason`: a sentence. `connected`: whether TCP did.

    `ours`: nobody spoke to that host, for a fault of this machine. `tls`: it is well, but has no
    TLS as this destination's policy demands it. `end`: None where this host got no MAIL, else how
    the mail ended here: only its `elsewhere` are to be asked for again. `name`: of the host, once
    the attempt has several to tell apart.
    """

    reason: str
    connected: bool
    reply: str = ""
    ours: bool = False
    tls: bool = False
    status: str = "4.4.2"
    phase: str = field(default="", compare=False)
    end: MailEnd | None = None
    name: str = field(default="", compare=False)

    @property
    def host_fault(self) -> bool:
        """Whether any other mail would have met the same: no connection, or no welcome."""
        return not self.ours and (not self.connected or self.phase in _WELCOME)

    @classmethod
    def after(cls, end: MailEnd) -> "TryNext":
        """As the mail has recipients that may be told to another host."""
        why = end.outcomes[next(iter(end.elsewhere))]
        if isinstance(why, Delivered):
            raise TypeError("delivered, and yet to be sent")  # a bug of the machine
        return TryNext(
            why.text, connected=True, reply=why.reply, status=why.status, phase=why.phase, end=end
        )


class NotTaken(TryNext):
    """This session took nothing of the mail; the same host may, on a fresh one."""


@dataclass(slots=True)
class Opened:
    """How a session began, for metrics and for the operator. `tls`: such as `TLSv1.3`, "" = none.

    `handshake`: seconds TLS took; `connected`: seconds until TCP stood. `certificate`: the peer's,
    DER; `verified`: whether it is for the policy's names; at less than `verify` nobody looked.
    `in_clear`: why there is no TLS although it is offered.
    """

    connected: float = 0.0
    handshake: float = 0.0
    tls: str = ""
    cipher: str = ""
    certificate: bytes = b""
    verified: bool = False
    in_clear: TlsProblem | None = None


class Session:
    """A greeted connection that takes mails one after another. `mails`: those it has had."""

    def __init__(self, link: Link, machine: SmtpClient, opened: Opened) -> None:
        self._link, self._machine, self.opened = link, machine, opened
        self.born = time.monotonic()
        self.mails = 0

    @classmethod
    async def open(
        cls, host: Host, terms: Terms, fallbacks: Fallbacks | None = None
    ) -> "Session | TryNext":
        """Connects and greets; where TLS fails and need not be, once more without it.

        `fallbacks`: what is known of hosts, and learns; None: TLS is tried in any case.
        """
        demanded = terms.tls.demanded_at(host.port)
        known = None if demanded or fallbacks is None else fallbacks.known(host)
        try:
            session = await cls._open(host, terms, known)
        except TlsError as error:
            if demanded:
                return _unmet(host, error.problem)
            session = await cls._open(host, terms, error.problem)
        if fallbacks is not None and known is None and isinstance(session, Session):
            fallbacks.learn(host, session.opened.in_clear)
        return session

    @classmethod
    async def _open(
        cls, host: Host, terms: Terms, in_clear: TlsProblem | None
    ) -> "Session | TryNext":
        """`in_clear`: why TLS is not to be begun. Raises TlsError."""
        starttls = terms.tls.by_starttls(host.port) and in_clear is None
        secure = terms.tls.from_the_start(host.port)
        helo, dialect = terms.source.helo, terms.dialect
        machine = SmtpClient(host.ip, helo, starttls=starttls, secure=secure, dialect=dialect)
        link = Link(machine, terms, tls_first=secure)
        began = time.monotonic()
        try:
            await connect(link, host, terms)
        except OSError as error:  # TimeoutError is one of them
            fault = local_fault(error, host.ip, terms.source.ip_for(host.ip))
            why = f"{host.ip}: {fault or reason(error)}"
            return TryNext(why, connected=False, ours=bool(fault))
        session = cls(link, machine, Opened(connected=time.monotonic() - began, in_clear=in_clear))
        try:
            problem = await session._greet(host, terms.tls)
        except TlsError:
            session.close()
            raise
        except BaseException:
            link.abort()
            raise
        if problem is None:
            return session
        session.close()
        return TryNext(
            problem.text,
            connected=True,
            reply=problem.reply,
            status=problem.status,
            phase=problem.phase,
        )

    async def _greet(self, host: Host, policy: TlsPolicy) -> Unusable | None:
        """Runs the greeting to its end; what went wrong, if anything did. Raises TlsError."""
        if policy.from_the_start(host.port):
            await self._secure(host)
        while True:
            match await self._link.next_event():
                case Ready(refused) if self.usable:
                    self._settle(policy, refused)
                    return None
                case Ready():
                    continue  # and lost since then: the next event says why
                case StartTls():
                    await self._secure(host)
                case Unusable() as problem:
                    if self._lost_to_tls(problem):
                        raise TlsError(LOST)
                    return problem
                case other:
                    raise RuntimeError(f"{other} before the first mail")  # a bug of ours

    def _lost_to_tls(self, problem: Unusable) -> bool:
        """Whether it broke off from STARTTLS on, before a word was said inside TLS."""
        wordless = problem.phase == Phase.EHLO and not problem.reply
        return problem.phase == Phase.STARTTLS or (wordless and bool(self.opened.tls))

    async def _secure(self, host: Host) -> None:
        began = time.monotonic()
        done = await self._link.start_tls(host)
        opened = self.opened
        opened.handshake = time.monotonic() - began
        opened.tls, opened.cipher = done.version, done.cipher
        opened.certificate, opened.verified = done.certificate, done.verified

    def _settle(self, policy: TlsPolicy, refused: str) -> None:
        """Takes the session as it is. Raises TlsError where it would have to be secure.

        `refused`: the reply to STARTTLS that was no 220, "" where it was not said.
        """
        if self.opened.tls:
            return
        if policy.demanded:
            raise TlsError(refusal(refused))
        if refused:
            self.opened.in_clear = refusal(refused)

    @property
    def banner(self) -> str:
        """The peer's first words, with their code."""
        return self._machine.banner.said if self._machine.banner else ""

    @property
    def extensions(self) -> Mapping[str, str]:
        """What it offers, in the clear or, once TLS stands, inside it; none after HELO."""
        return self._machine.extensions

    async def ask(self, envelope: Envelope) -> Mapping[str, Outcome] | TryNext:
        """What the peer says of the recipients, without sending a mail; Delivered: it takes it."""
        if not self.usable:
            return TryNext("The session is over.", connected=True)
        self._link.go_on(self._machine.ask(envelope))
        match await self._link.next_event():
            case MailEnd(outcomes):
                return outcomes
            case other:
                raise RuntimeError(f"{other} while recipients are asked about")  # a bug of ours

    async def deliver(self, envelope: Envelope, body: bytes) -> Mapping[str, Outcome] | TryNext:
        """One mail. `usable` says afterwards whether another one may follow.

        NotTaken: the session was over before this mail, or this is not its first one and the peer
        said no to RSET or MAIL, or nothing: that may be for the mails before, for being too many.
        TryNext: the peer ended the session before it had any of the mail's content, or it lacks
        what the mail needs.
        """
        if not self.usable:
            return NotTaken("The session is over.", connected=True)
        if long := len(body) > LONG:
            body = await asyncio.to_thread(self._machine.prepared, body)
            if not self.usable:
                return NotTaken("The session ended before the mail.", connected=True)
        self.mails += 1
        self._link.go_on(self._machine.send_mail(envelope, body, prepared=long))
        match await self._link.next_event():
            case MailEnd() if self.mails > 1 and self.balked:
                return NotTaken("It took no more mail.", connected=True)
            case MailEnd() as end:
                return TryNext.after(end) if end.elsewhere else end.outcomes
            case other:
                raise RuntimeError(f"{other} while a mail is under way")  # a bug of ours

    @property
    def balked(self) -> bool:
        """Whether the last mail ended before the peer had said yes to MAIL."""
        return not self._machine.begun

    @property
    def most(self) -> float:
        """How many mails the peer takes over one connection, as far as it says."""
        return mail_max(self._machine.extensions)

    @property
    def usable(self) -> bool:
        return self._machine.phase is Phase.IDLE

    def close(self) -> None:
        """QUIT if the peer listens to it, and out; waits for nothing."""
        self._link.quit()

    def abort(self) -> None:
        """Out, in the middle of whatever it is."""
        self._link.abort()


def _unmet(host: Host, problem: TlsProblem) -> TryNext:
    text = f"Connected to {host.ip} but {problem.text}. (#{problem.status})"
    return TryNext(text, connected=True, status=problem.status, tls=True)
