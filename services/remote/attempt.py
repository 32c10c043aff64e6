"""One attempt to deliver a mail to another host: route, hosts, one after another until one answers.

It keeps nothing between attempts: when a mail is tried again is the scheduler's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.remote.connection import Terms, TryNext, send
from services.remote.mx import Found, Host, Resolver
from tubepost import smtproutes
from tubepost.delivery import Mail
from tubepost.outcome import Deferred, Failed, Outcome
from tubepost.record import Envelope

MAX_HOSTS = 10
"""Addresses tried in one attempt: a job does not go on for hours where all of them are silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCourier:
    """Implements tubepost.delivery.Courier. What is callable is asked anew for each mail."""

    resolver: Resolver
    routes: Callable[[], smtproutes.Routes]
    helo: Callable[[], str]
    connect_seconds: Callable[[], float]
    reply_seconds: Callable[[], float]
    """The most that one step of a session may take; RFC 5321's limits rule where they are less."""
    source: str = ""
    port: int = 25

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        """One outcome for each recipient, all of which are of the domain `mail.destination`."""
        relay = smtproutes.lookup(self.routes(), mail.destination)
        found = await self._hosts(mail.destination, relay)
        if isinstance(found, Deferred | Failed):
            return dict.fromkeys(mail.recipients, found)
        port = relay.port if relay and relay.port else self.port
        return await self._try_each(found[:MAX_HOSTS], port, mail)

    async def _hosts(self, domain: str, relay: smtproutes.Relay | None) -> Found:
        if relay is None:
            return await self.resolver.mail_hosts(domain)
        found = await self.resolver.addresses(relay.host)
        return _relay_missing(relay.host) if isinstance(found, Failed) else found

    async def _try_each(
        self, hosts: Sequence[Host], port: int, mail: Mail
    ) -> Mapping[str, Outcome]:
        envelope = Envelope(
            mail.sender, mail.recipients, mail.wishes, mail.ret, mail.envid, mail.smtputf8
        )
        tried: list[TryNext] = []
        for host in hosts:
            result = await send(host, port, envelope, mail.body, self._terms())
            if not isinstance(result, TryNext):
                return result
            tried.append(result)
        return dict.fromkeys(mail.recipients, _none_took_it(tried))

    def _terms(self) -> Terms:
        return Terms(
            helo=self.helo(),
            connect_seconds=self.connect_seconds(),
            reply_seconds=self.reply_seconds(),
            source=self.source,
        )


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
