"""One attempt to deliver a mail to another host: route, hosts, one after another until one answers.

It keeps nothing between attempts: when a mail is tried again is the scheduler's.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.remote.connection import TryNext
from services.remote.elsewhere import at_once_elsewhere, delivers, last_resort, left_of
from services.remote.health import Health, Unknown, all_wait_until
from services.remote.mx import Found, Host, Resolver
from services.remote.plan import Plan, Planner
from services.remote.pool import Pool
from services.remote.relays import SMTP_PORT, relay_hosts
from services.remote.terms import Terms
from tubepost.delivery import Mail
from tubepost.outcome import Deferred, Failed, Outcome, timed
from tubepost.record import Envelope

MAX_HOSTS = 10
"""Addresses tried in one attempt: a job does not go on for hours where all of them are silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCourier:
    """Implements tubepost.delivery.Courier."""

    plan: Planner
    resolver: Resolver
    pool: Pool
    health: Health = field(default_factory=Unknown)
    port: int = SMTP_PORT
    """Where no relay names another one."""

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        """One outcome for each recipient, all of which are of the domain `mail.destination`."""
        plan = self.plan(mail.destination)
        found = await self.hosts(plan, mail.destination)
        if isinstance(found, Deferred | Failed):
            return dict.fromkeys(mail.recipients, _unasked(found))
        hosts = self.pool.idle_first(found, plan.terms)
        return await self._try_each(hosts[:MAX_HOSTS], plan.terms, mail)

    async def hosts(self, plan: Plan, destination: str) -> Found:
        """The addresses of a destination, in the order in which they are tried."""
        if plan.unreadable:
            return _unreadable(plan.unreadable)
        if plan.relays:
            us = replace(plan.us, loopback=False)  # another server of this machine may be one
            return await relay_hosts(plan.relays, self.resolver, us, self.port)
        us = plan.us if self.port == SMTP_PORT else replace(plan.us, loopback=False)
        return _at(self.port, await self.resolver.mail_hosts(destination, us))

    async def _try_each(
        self, hosts: Sequence[Host], terms: Terms, mail: Mail
    ) -> Mapping[str, Outcome]:
        envelope = Envelope(
            mail.sender, mail.recipients, mail.wishes, mail.ret, mail.envid, mail.smtputf8
        )
        tried: list[TryNext] = []
        judged: dict[str, Outcome] = {}
        for host in hosts:
            if why := self.health.why_not(host):
                tried.append(
                    TryNext(f"{host.ip}: not tried, {why}", connected=False, name=host.name)
                )
                continue
            self.health.tries(host)
            began = time.monotonic()
            result = await self.pool.send(host, terms, envelope, mail.body)
            seconds = time.monotonic() - began
            if not isinstance(result, TryNext):
                self.health.answered(host)
                result = timed(result, seconds)
                return {**judged, **result} if judged else result
            tried.append(replace(result, name=host.name))
            if result.end is not None:
                self.health.answered(host)
                judged |= timed(result.end.outcomes, seconds)
                if delivers(judged) and host is not hosts[-1]:
                    return judged | at_once_elsewhere(result.end)
                envelope = left_of(envelope, result.end)
            elif result.host_fault:
                self.health.failed(host, result.reason, connected=result.connected)
        theirs = [h for h, attempt in zip(hosts, tried, strict=True) if not attempt.ours]
        until = all_wait_until(self.health, theirs)
        return judged | last_resort(
            envelope.recipients,
            tried,
            lambda these: replace(_none_took_it(these), not_before=until),
        )


def _unreadable(setting: str) -> Deferred:
    text = (
        f"Sorry, the setting {setting} has a line that this release cannot read: where this mail "
        "goes, and how, is not known. (#4.3.5)"
    )
    return Deferred(text=text, status="4.3.5")


def _at(port: int, found: Found) -> Found:
    if isinstance(found, Deferred | Failed) or found[0].port == port:
        return found
    return [host if host.port == port else replace(host, port=port) for host in found]


def _unasked(found: Deferred | Failed) -> Outcome:
    if isinstance(found, Deferred):
        return replace(found, phase="dns", unasked=True)
    return replace(found, phase="dns")


def _none_took_it(tried: Sequence[TryNext]) -> Deferred:
    """No host came as far as MAIL. The greeting that failed last, if any, says most."""
    greeted = [attempt for attempt in tried if attempt.connected]
    if greeted:
        last = greeted[-1]
        return Deferred(
            text=last.reason,
            status=last.status,
            reply=last.reply,
            no_connection=last.end is None,
            phase=last.phase or "connect",
        )
    reasons = "".join(f"/{attempt.reason}" for attempt in tried)
    if all(attempt.ours for attempt in tried):  # nothing is known of the destination
        text = f"Sorry, I can't make an SMTP connection: the fault is here. (#4.3.5){reasons}"
        return Deferred(text=text, status="4.3.5", unasked=True)
    text = f"Sorry, I wasn't able to establish an SMTP connection. (#4.4.1){reasons}"
    return Deferred(text=text, status="4.4.1", no_connection=True, phase="connect")
