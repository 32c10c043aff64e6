"""What a session with a client would be told, without a session: `tubepost relay check`.

The same facts from the same Gatherer, the same chains; only that every policy is asked, so that all
that speaks against a client shows. DATA is not asked: there is no mail.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import APIRouter

from services.smtpd import commands, findings, home, policy, why
from services.smtpd.facts import Client, Kind, RcptFacts, StrangerFacts
from services.smtpd.gather import Gatherer
from services.smtpd.lookups import Lookups
from services.smtpd.policy import Chain, F
from services.smtpd.transaction import Transaction
from tubepost import verp
from tubepost.address import parse_address
from tubepost.admin import protected
from tubepost.errors import BadInput
from tubepost.relay_list import Entry, normal

Answer = dict[str, Any]


def router(gather: Gatherer, lookups: Lookups | None = None) -> APIRouter:
    """GET /v1/smtp/check."""
    routes = protected()

    @routes.get("/smtp/check")
    async def check(ip: str, sender: str = "", recipient: str = "", user: str = "") -> Answer:
        """Which rule decides about a client, and why. `user`: as if logged in by AUTH."""
        return await Check(gather, _client(gather, ip, user), sender, lookups).answer(recipient)

    return routes


def _client(gather: Gatherer, ip: str, user: str) -> Client:
    try:
        ip = normal(ip)
    except ValueError as error:
        raise BadInput(f"{ip!r} is not an IP address") from error
    client = gather.about_client(ip, Kind.SUBMISSION if user else Kind.MX)
    client = replace(client, load=gather.meter.load(ip, client.rule))
    return replace(client, user=parse_address(user).key) if user else client


@dataclass(frozen=True, slots=True)
class Check:
    """One question about a client and a sender."""

    gather: Gatherer
    client: Client
    sender: str
    lookups: Lookups | None = None

    async def answer(self, recipient: str) -> Answer:
        """Raises Unavailable where a session would answer 451, BadInput for what is no address."""
        client = self.client
        sender = verp.parse_sender(self.sender) if self.sender else ""
        entry = await self.gather.relay_entry(client)
        facts = await self._facts(sender, recipient) if recipient else None
        stranger = await self._stranger(facts) if facts and not (facts.relays or entry) else None
        mail = await self.gather.about_mail(client, sender)
        policies = [
            *_said("connect", policy.CONNECT, client),
            *_said("MAIL", policy.MAIL, mail),
            *(_said("RCPT", policy.RCPT, facts) if facts else ()),
            *(_said("RCPT", policy.STRANGER, stranger) if stranger else ()),
        ]
        against = next((f"{s['at']}: {s['reply']}" for s in policies if s["reply"]), "")
        return {
            "ip": client.ip,
            "rule": {"line": client.rule.line, "allow": client.rule.allow},
            "relay_list": _shown(entry),
            "list_is_used": self.gather.may_use_list(client),
            "recipient": why.recipient(facts) if facts else None,
            "policies": policies,
            "accepted": not against,
            "sentence": why.sentence(client, facts, entry, against),
        }

    async def _facts(self, sender: str, recipient: str) -> RcptFacts:
        path = home.resolved(commands.parse_rcpt(f"TO:<{recipient}>"), self.gather.control)
        return await self.gather.about_recipient(
            self.client,
            Transaction(sender),
            parse_address(path.address),
            postmaster=recipient.lower() == commands.POSTMASTER,
        )

    async def _stranger(self, rcpt: RcptFacts) -> StrangerFacts | None:
        """None where no setting wants to know. Of HELO nothing is known here."""
        found = findings.begin(self.lookups, self.client)
        if found is None:
            return None
        try:
            return replace(await found.about(rcpt), helo_check="0")
        finally:
            found.drop()


def _said(moment: str, chain: Chain[F], facts: F) -> Iterator[dict[str, str]]:
    for name, refusal in policy.explained(chain, facts):
        verdict, reply = (refusal.verdict, refusal.reply) if refusal else ("", "")
        yield {"at": moment, "policy": name, "verdict": verdict, "reply": reply}


def _shown(entry: Entry | None) -> Answer | None:
    return asdict(entry) if entry else None
