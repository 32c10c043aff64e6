"""smtpd's listeners on free ports over a bus: what the tests of sessions share."""

import asyncio
import contextlib
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from services.smtpd.facts import Kind
from services.smtpd.gather import Gatherer
from services.smtpd.gossip import Gossip
from services.smtpd.intake import Intake
from services.smtpd.listener import Listener, Parts
from services.smtpd.lookups import Lookups
from services.smtpd.meter import Meter
from services.smtpd.rates import Rates
from services.smtpd.room import Room
from services.smtpd.session import sessions
from tests.tubepost.telling import Told
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import (
    Account,
    Domain,
    account_key,
    domain_key,
    domain_value,
    entry_value,
)
from tubepost.dns_client import DnsClient
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore, held
from tubepost.nats_bus import NatsBus
from tubepost.ports import CaughtUp, Clock
from tubepost.quota import Quota
from tubepost.record import Record, State
from tubepost.relay_list import RelayList
from tubepost.tasks import background

SHARDS = 2
PATIENCE = 10.0
"""Seconds for what takes milliseconds: only a test that has failed waits so long."""


@dataclass(slots=True)
class Smtpd:
    """`ports`: of the listeners "smtp" and "submission", on 127.0.0.1."""

    bus: NatsBus
    control: Control
    directory: Directory
    relay_list: RelayList
    intake: Intake
    gossip: Gossip
    meter: Meter
    clock: Clock
    listeners: dict[str, Listener] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    lookups: Lookups | None = None

    async def set(self, **settings: str | Iterable[str]) -> None:
        """Control settings: one line, or several."""
        for name, lines in settings.items():
            await self.control.set(name, (lines,) if isinstance(lines, str) else tuple(lines))

    async def add_accounts(self, *addresses: str) -> None:
        """Their domains, too. Nobody can log in with them: see `answer_logins`."""
        bucket = Bucket(self.bus, subjects.DIRECTORY)
        for address in map(parse_address, addresses):
            domain = domain_key(address.domain)
            await self.directory.seen(domain, await bucket.put(domain, {}))
            account = Account(address.key, "home", "no hash")
            key = account_key(address)
            await self.directory.seen(key, await bucket.put(key, entry_value(account)))

    async def add_quota(self, address: str, quota: Quota) -> None:
        """An account that may hold so much."""
        account = Account(address, f"{address}/home", "no hash", quota=quota)
        bucket = Bucket(self.bus, subjects.DIRECTORY)
        key = account_key(parse_address(address))
        await self.directory.seen(key, await bucket.put(key, entry_value(account)))

    async def add_domain(self, name: str, quota: Quota) -> None:
        """A domain whose accounts may hold so much together; or a change of one."""
        bucket, key = Bucket(self.bus, subjects.DIRECTORY), domain_key(name)
        value = domain_value(Domain(name, quota=quota))
        await self.directory.seen(key, await bucket.put(key, value))

    async def answer_logins(self, **passwords: str) -> None:
        """As popauth does, once for all calls: user USER, account USER@example.net.

        Nobody has a secret for CRAM-MD5; `later` cannot be checked now, `noel` may not use AUTH.
        """
        if self.passwords:
            self.passwords |= passwords
            return
        self.passwords |= passwords

        async def answer(_subject: str, data: bytes) -> bytes:
            asked = json.loads(data)
            if asked["user"] == "later":
                return json.dumps({"result": "unavailable"}).encode()
            if asked["user"] == "noel":
                return json.dumps({"result": "no_smtp"}).encode()
            if self.passwords.get(asked["user"]) != asked.get("password", ""):
                return json.dumps({"result": "refused"}).encode()
            account = f"{asked['user']}@example.net"
            return json.dumps({"result": "accepted", "account": account}).encode()

        await self.bus.answer(subjects.AUTH_CHECK, answer, group="popauth")

    @property
    def gather(self) -> Gatherer:
        return Gatherer(self.control, self.directory, self.relay_list, Room(self.bus), self.meter)

    async def mails(self) -> list[tuple[Record, bytes]]:
        """What is in the queue, in no order, with the bodies."""
        store = MailStore(self.bus, SHARDS)
        found = []
        for shard in range(SHARDS):
            stream = subjects.queue_stream(shard)
            async for item in self.bus.follow(stream, subjects.queue_subjects(shard)):
                if isinstance(item, CaughtUp):
                    break
                mail = held(item)
                split = mail.record.state is State.SPLIT
                found.append((mail.record, b"" if split else await store.body(mail)))
        return found

    async def only_mail(self) -> tuple[Record, bytes, bytes]:
        """The one mail there is: its record, its Received field and what stands behind that."""
        [(record, body)] = await self.mails()
        first, second, rest = body.split(b"\r\n", 2)
        assert first.startswith(b"Received: from ")
        assert second.startswith(b"  by ")
        return record, first + b"\r\n" + second + b"\r\n", rest


@contextlib.asynccontextmanager
async def running(
    bus: NatsBus,
    tls: ssl.SSLContext | None = None,
    clock: Clock = time.time,
    dns: DnsClient | None = None,
) -> AsyncIterator[Smtpd]:
    """smtpd as services/smtpd/app.py puts it together, without its process.

    `clock`: by which rates are counted.
    """
    control, directory = Control(bus, "mail.example"), Directory(bus)
    told = Told()
    intake = Intake(MailStore(bus, SHARDS), directory, control, time.time, told)
    gossip = Gossip(bus, Rates(secrets.token_hex(8)), clock)
    meter = Meter(gossip.rates, control, clock, gossip.wake)
    relay_list = RelayList(bus, time.time)
    smtpd = Smtpd(bus, control, directory, relay_list, intake, gossip, meter, clock, told=told)
    smtpd.lookups = Lookups(smtpd.gather, dns) if dns else None
    async with background(control.run(), directory.run(), gossip.run()):
        await asyncio.wait_for(control.mirror.loaded.wait(), PATIENCE)
        await asyncio.wait_for(directory.loaded(), PATIENCE)
        await control.set("authdelay", ("0",))
        servers = [
            await _listen(smtpd, "smtp", Kind.MX, tls),
            await _listen(smtpd, "submission", Kind.SUBMISSION, tls),
        ]
        try:
            yield smtpd
        finally:
            for server in servers:
                server.close()
            for listener in smtpd.listeners.values():
                await listener.drain(PATIENCE)


async def _listen(
    smtpd: Smtpd, name: str, kind: Kind, tls: ssl.SSLContext | None
) -> asyncio.Server:
    parts = Parts(smtpd.bus, smtpd.control, smtpd.gather, smtpd.intake, lookups=smtpd.lookups)
    listener = Listener(name, kind, parts, tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(sessions(listener), "127.0.0.1", 0, backlog=512)
    smtpd.listeners[name] = listener
    smtpd.ports[name] = server.sockets[0].getsockname()[1]
    return server
