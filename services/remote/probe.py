"""What an operator would do by hand: look the hosts of a destination up, and greet each of them.

It takes the way of a delivery (plan, hosts, terms, session) and sends no mail; what it finds
changes nothing: not the pool, not what is known of hosts. One connection to each host, outside the
scheduler's limits, and few probes at once.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.remote import probe_steps
from services.remote.attempt import MAX_HOSTS, RemoteCourier
from services.remote.connection import Session, TryNext
from services.remote.mx import Found, Host
from services.remote.plan import Plan, names_to_verify
from services.remote.probe_dns import Dns, lookups
from services.remote.probe_steps import Step
from services.remote.terms import Terms
from services.remote.tls_verdict import distrust
from tubepost import maillog, reply_kinds
from tubepost.errors import Unavailable
from tubepost.outcome import Deferred, Failed, Outcome
from tubepost.record import Envelope

SECONDS = 25.0
"""A whole probe; less than the command and the gateway wait for its next line."""

CONNECT_SECONDS, REPLY_SECONDS = 10.0, 20.0
"""A delivery is more patient: a host that needs longer is told as silent."""

AT_ONCE = 4
"""Probes in one process."""

OUT_OF_TIME = "the probe's time was over before it had answered"


@dataclass(slots=True, kw_only=True)
class Probe:
    """`dns` makes what asks name servers afresh; `route_of` says which line of smtproutes rules a
    domain (its left side), None = none."""

    courier: RemoteCourier
    dns: Callable[[], Dns]
    route_of: Callable[[str], str | None]
    seconds: float = SECONDS
    running: int = field(default=0, init=False)

    async def steps(
        self, destination: str, recipient: str = "", *, connect: bool = True
    ) -> AsyncGenerator[Step, None]:
        """What is found, as it is found; the last one is `end`. Raises Unavailable, at once.

        `recipient`: whom hosts are asked about, "" = nobody.
        """
        if self.running >= AT_ONCE:
            raise Unavailable(f"{AT_ONCE} probes run already; try again in {self.seconds:.0f} s")
        self.running += 1
        clock = _Clock(self.seconds)
        try:
            plan = self.courier.plan(destination)
            yield probe_steps.of_plan(plan, destination, self.route_of(destination))
            dns, found = await self._look_up(plan, destination, clock)
            yield dns
            yield probe_steps.of_hosts(found, MAX_HOSTS)
            hosts = () if isinstance(found, Deferred | Failed) or not connect else found[:MAX_HOSTS]
            asked = [self._host(host, plan, destination, recipient) for host in hosts]
            greeted = 0
            async with contextlib.aclosing(_as_they_end(asked, clock)) as ended:
                async for step in ended:
                    greeted += step["greeted"]
                    yield step
            if asked:
                maillog.probed(destination, hosts=len(asked), greeted=greeted, seconds=clock.passed)
            yield {"step": "end", "seconds": clock.passed, "limit": self.seconds}
        finally:
            self.running -= 1

    async def _look_up(self, plan: Plan, destination: str, clock: "_Clock") -> tuple[Step, Found]:
        """What DNS says, to be shown, and the hosts a delivery would try."""
        names = [relay.host for relay in plan.relays]
        shown = asyncio.create_task(lookups(self.dns(), names, destination))
        found = asyncio.create_task(self.courier.hosts(plan, destination))
        try:
            await asyncio.wait({shown, found}, timeout=clock.left)
            step = probe_steps.of_dns(shown.result() if shown.done() else None, clock.passed)
            return step, found.result() if found.done() else self._no_answer()
        finally:
            for task in (shown, found):
                task.cancel()
            await asyncio.gather(shown, found, return_exceptions=True)

    def _no_answer(self) -> Deferred:
        text = f"DNS gave no answer within {self.seconds:.0f} s. (#4.4.3)"
        return Deferred(text=text, status="4.4.3")

    async def _host(self, host: Host, plan: Plan, destination: str, recipient: str) -> Step:
        """A session with one host. Cancelled when the time is over, and says so."""
        step = probe_steps.of_host(host, self.courier.health.why_not(host))
        began = time.monotonic()
        try:
            names = plan.terms.tls.names or names_to_verify(destination, plan.relays)
            step |= await _greeted(host, _impatient(plan.terms), names, recipient)
        except asyncio.CancelledError:
            step |= {"error": f"{host.ip}: {OUT_OF_TIME}", "timed_out": True}
        return step | {"seconds": time.monotonic() - began}


class _Clock:
    """How long a probe runs, and may still run."""

    def __init__(self, seconds: float) -> None:
        self._began, self._seconds = time.monotonic(), seconds

    @property
    def passed(self) -> float:
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        return max(0.0, self._seconds - self.passed)


async def _as_they_end(
    asked: Sequence[Coroutine[Any, Any, Step]], clock: _Clock
) -> AsyncGenerator[Step, None]:
    """What each says, the first to end first. Who is not done when the time is over is stopped."""
    waiting = {asyncio.create_task(each) for each in asked}
    try:
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=clock.left, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                _cancel(waiting)
                done, waiting = await asyncio.wait(waiting)
            for task in done:
                yield task.result()
    finally:
        _cancel(waiting)
        await asyncio.gather(*waiting, return_exceptions=True)


def _cancel(tasks: set[asyncio.Task[Step]]) -> None:
    for task in tasks:
        task.cancel()


async def _greeted(host: Host, terms: Terms, names: tuple[str, ...], recipient: str) -> Step:
    """`names`: what its certificate would have to be for at level `verify`."""
    session = await Session.open(host, terms)
    if isinstance(session, TryNext):
        return probe_steps.refused(session)
    try:
        found = probe_steps.greeted(session.opened, session.banner, dict(session.extensions))
        if recipient:
            judged = await _judgement(session, recipient)
            found["rcpt"] = probe_steps.of_outcome(judged)
    finally:
        session.close()
    if session.opened.tls and not session.opened.verified:
        found["opened"]["distrust"] = await distrust(host, terms, names)
    return found


async def _judgement(session: Session, recipient: str) -> Outcome:
    answer = await session.ask(Envelope("", (recipient,), smtputf8=not recipient.isascii()))
    if isinstance(answer, TryNext):  # it hung up right after its greeting
        return Deferred(text=answer.reason, reply=answer.reply)
    return reply_kinds.named(answer)[recipient]


def _impatient(terms: Terms) -> Terms:
    return replace(
        terms,
        connect_seconds=min(terms.connect_seconds, CONNECT_SECONDS),
        reply_seconds=min(terms.reply_seconds, REPLY_SECONDS),
    )
