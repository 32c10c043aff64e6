"""One attempt to deliver a mail to another host: route, hosts, one after another until one answers.

It keeps nothing between attempts: when a mail is tried again is the scheduler's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.remote.connection import TryNext
from services.remote.health import Health, Unknown, all_wait_until
from services.remote.mx import Found, Host, Resolver
from services.remote.plan import Plan, Planner
from services.remote.pool import Pool
from services.remote.terms import Terms
from tubepost.delivery import Mail
from tubepost.outcome import Deferred, Failed, Outcome
from tubepost.record import Envelope
from tubepost.smtproutes import Relay

MAX_HOSTS = 10
"""Addresses tried in one attempt: a job does not go on for hours where all of them are silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCourier:
    """Implements tubepost.delivery.Courier."""

    plan: Planner
    resolver: Resolver
    pool: Pool
    health: Health = field(default_factory=Unknown)
    port: int = 25
    """Where no relay names another one."""

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        """One outcome for each recipient, all of which are of the domain `mail.destination`."""
        plan = self.plan(mail.destination)
        found = await self.hosts(plan, mail.destination)
        if isinstance(found, Deferred | Failed):
            return dict.fromkeys(mail.recipients, found)
        return await self._try_each(found[:MAX_HOSTS], plan.terms, mail)

    async def hosts(self, plan: Plan, destination: str) -> Found:
        """The addresses of a destination, in the order in which they are tried."""
        if plan.relays:
            return await self._of_relay(plan.relays[0])
        return _at(self.port, await self.resolver.mail_hosts(destination))

    async def _of_relay(self, relay: Relay) -> Found:
        found = await self.resolver.addresses(relay.host)
        if isinstance(found, Failed):
            return _relay_missing(relay.host)
        return _at(relay.port or self.port, found)

    async def _try_each(
        self, hosts: Sequence[Host], terms: Terms, mail: Mail
    ) -> Mapping[str, Outcome]:
        envelope = Envelope(
            mail.sender, mail.recipients, mail.wishes, mail.ret, mail.envid, mail.smtputf8
        )
        tried: list[TryNext] = []
        for host in hosts:
            if why := self.health.why_not(host):
                tried.append(TryNext(f"{host.ip}: not tried, {why}", connected=False))
                continue
            self.health.tries(host)
            result = await self.pool.send(host, terms, envelope, mail.body)
            if not isinstance(result, TryNext):
                self.health.answered(host)
                return result
            if result.host_fault:
                self.health.failed(host, result.reason)
            tried.append(result)
        outcome = replace(_none_took_it(tried), not_before=all_wait_until(self.health, hosts))
        return dict.fromkeys(mail.recipients, outcome)


def _at(port: int, found: Found) -> Found:
    if isinstance(found, Deferred | Failed):
        return found
    return [replace(host, port=port) for host in found]


def _relay_missing(name: str) -> Deferred:
    """A relay that DNS does not know is a slip in our settings: the mail waits for its repair."""
    text = f"Sorry, I couldn't find an address of {name}, the relay in smtproutes. (#4.3.5)"
    return Deferred(text=text, status="4.3.5")


def _none_took_it(tried: Sequence[TryNext]) -> Deferred:
    """No host came as far as MAIL. The greeting that failed last, if any, says most."""
    greeted = [attempt for attempt in tried if attempt.connected]
    if greeted:
        last = greeted[-1]
        return Deferred(text=last.reason, status="4.4.2", reply=last.reply, no_connection=True)
    reasons = "".join(f"/{attempt.reason}" for attempt in tried)
    text = f"Sorry, I wasn't able to establish an SMTP connection. (#4.4.1){reasons}"
    return Deferred(text=text, status="4.4.1", no_connection=True)
