"""Counts what clients do, and tells policies how near to their limits they are.

Who counts: the address (IPv6: its /64), for what a logged-in user sends the user. What a rule
marks `RELAYCLIENT=""` is trusted and not counted by its address; SMTPRATES="off" in a rule takes an
address out altogether. With no `smtprates` set nothing is counted.
"""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from services.smtpd.facts import NO_USE, Client, Load, RcptFacts, Use
from services.smtpd.rates import Rates, Standing, network_of
from services.smtpd.refusal import Refusal
from tubepost import metrics, smtp_values
from tubepost.ports import Clock
from tubepost.rate_limits import (
    BADRCPT,
    CONNECTIONS,
    ERRORS,
    MAILS,
    RECIPIENTS,
    RELAYED,
    SUBMITTED,
    Limits,
)
from tubepost.setting import Setting
from tubepost.tcprules import Rule

T = TypeVar("T")


class Settings(Protocol):
    """Control settings, as tubepost.control.Control has them."""

    def get(self, setting: Setting[T]) -> T: ...


class Defaults:
    """Every setting at its default."""

    def get(self, setting: Setting[T]) -> T:
        return setting.default


def _nobody_listens() -> None:
    """A meter whose counts are not told to others."""


class Meter:
    """The counts of a process. `on_count` is called when a rate has been counted."""

    def __init__(
        self,
        rates: Rates,
        settings: Settings,
        clock: Clock = time.time,
        on_count: Callable[[], None] = _nobody_listens,
    ) -> None:
        self.rates = rates
        self._settings, self._clock, self._on_count = settings, clock, on_count
        self._sessions: dict[str, int] = {}
        self.sessions = 0
        self.openings = 0
        """Connections that are not greeted yet: their PROXY header or TLS is awaited."""

    @property
    def limits(self) -> Limits:
        return self._settings.get(smtp_values.SMTPRATES)

    @property
    def session_limit(self) -> int:
        return self._settings.get(smtp_values.CONCURRENCYINCOMING)

    @property
    def overfull(self) -> bool:
        """More have connected than this process can carry, those not greeted yet included."""
        return 0 < self.session_limit < self.sessions + self.openings

    def use(self, kind: str, client: Client) -> Use:
        """How much of a rate a client has used up."""
        limit = self.limits.get(kind)
        who = _counted_as(kind, client) if limit else ""
        if limit is None or not who:
            return NO_USE
        return Use(self.rates.count(kind, limit, who, self._clock()), limit.most)

    def count(self, kind: str, client: Client) -> None:
        """A client did something once."""
        limit = self.limits.get(kind)
        who = _counted_as(kind, client) if limit else ""
        if limit and who:
            self.rates.add(kind, limit, who, self._clock())
            self._on_count()

    def mail_began(self, client: Client) -> None:
        """MAIL was answered with 250."""
        if self.limits:
            self.count(MAILS, client)
            self.count(SUBMITTED, client)

    def recipient_judged(self, facts: RcptFacts, refusal: Refusal | None) -> None:
        """A recipient was accepted, or is none of ours."""
        if not self.limits:
            return
        if refusal is None:
            self.count(RECIPIENTS, facts.client)
            if facts.relay_user and not facts.relaying:
                self.count(RELAYED, facts.client)
        elif refusal.verdict == "mailbox":
            self.count(BADRCPT, facts.client)

    def load(self, ip: str, rule: Rule) -> Load:
        """What there is to know when a client comes, or has made an error."""
        sessions, own = Use(self.sessions, self.session_limit), NO_USE
        most = self._settings.get(smtp_values.CONCURRENCYCLIENT)
        if most and not _trusted(rule):
            own = Use(self._sessions.get(network_of(ip), 0), most)
        if not self.limits:
            return Load(sessions, own)
        client = Client(ip, rule)
        return Load(sessions, own, self.use(CONNECTIONS, client), self.use(ERRORS, client))

    def enter(self, client: Client) -> None:
        """A session begins that nobody objected to."""
        who = network_of(client.ip)
        self._sessions[who] = self._sessions.get(who, 0) + 1
        self.sessions += 1
        self.count(CONNECTIONS, client)

    def leave(self, client: Client) -> None:
        """And ends."""
        who = network_of(client.ip)
        left = self._sessions.pop(who) - 1
        if left:
            self._sessions[who] = left
        self.sessions -= 1

    def full(self) -> str:
        """Readiness: why no session can begin here now, "" where one can."""
        most = self.session_limit
        if 0 < most <= self.sessions:
            return f"{self.sessions} sessions, concurrencyincoming allows {most}"
        return ""

    def nearest(self, most: int) -> list[Standing]:
        """Who is over a limit or nearest to it."""
        return self.rates.nearest(self.limits, self._clock(), most)

    def measure(self) -> None:
        """Sets the gauges; called when metrics are read."""
        self.rates.expire(self._clock())
        metrics.RATE_KEYS.set(len(self.rates))
        metrics.SMTP_SESSIONS_LIMIT.set(self.session_limit)


def unmetered() -> Meter:
    """For those who have no settings: only what the defaults say."""
    return Meter(Rates("alone"), Defaults())


def _trusted(rule: Rule) -> bool:
    return rule.relays or "SMTPRATES" in rule.variables


def _counted_as(kind: str, client: Client) -> str:
    """The user or the network, "" = not counted."""
    if "SMTPRATES" in client.rule.variables:
        return ""
    if client.user and kind in (SUBMITTED, RECIPIENTS):
        return client.user
    if client.rule.relays or kind == SUBMITTED or (client.user and kind == MAILS):
        return ""
    return network_of(client.ip)
