"""A change made at popauth is in effect at smtpd and local: no restart, and also after a reconnect.

Each has a connection of its own to a real server. How long it takes is measured by the bench
(`python -m bench.directory`), not here: what is waited for is the change itself.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.nats_server import NatsServer
from tests.popauth.directory import Office, office
from tests.smtpd.client import Client, connected
from tests.smtpd.running import Smtpd, running
from tubepost import subjects
from tubepost.address import Address, parse_address
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import NO_SMTP, account_key, domain_key
from tubepost.keyed import Bucket
from tubepost.mailstore import patiently
from tubepost.nats_bus import NatsBus
from tubepost.resolution import Action, Refuse, Store
from tubepost.resolver import Resolver
from tubepost.tasks import background

PASSWORD = "correct horse"
ANN = parse_address("ann@example.net")


@dataclass(slots=True)
class Three:
    """popauth, smtpd with a client, and local."""

    popauth: Office
    smtpd: Smtpd
    client: Client
    local: Directory
    resolver: Resolver

    async def heard(self, key: str) -> None:
        """Until both know what popauth wrote last."""
        _, revision = await Bucket(self.popauth.bus, subjects.DIRECTORY).last(key)
        assert revision
        for directory in (self.smtpd.directory, self.local):
            await directory.seen(key, revision)

    async def rcpt(self, address: Address) -> str:
        """The reply's code."""
        await self.client.ask("RSET", "MAIL FROM:<joe@far.example>")
        return (await self.client.ask(f"RCPT TO:<{address}>"))[:3]

    async def actions(self, address: Address) -> list[type[Action]]:
        resolved = await self.resolver.resolve(address)
        return [type(action) for action in resolved.actions]


@pytest.fixture
async def three(bus: NatsBus, nats_server: NatsServer) -> AsyncIterator[Three]:
    async with contextlib.AsyncExitStack() as stack:
        theirs = []
        for _ in range(2):
            theirs.append(await nats_server.connect())
            stack.push_async_callback(theirs[-1].close)
        popauth = await stack.enter_async_context(office(bus))
        smtpd = await stack.enter_async_context(running(theirs[0]))
        control, local = Control(theirs[1], "mail.example"), Directory(theirs[1])
        await stack.enter_async_context(background(control.run(), local.run()))
        await local.loaded()
        client = await stack.enter_async_context(connected(smtpd.ports["smtp"]))
        yield Three(popauth, smtpd, client, local, Resolver(local, control))


async def test_accounts_and_domains_that_come_and_go(three: Three) -> None:
    """Both have said before that there is none: that is corrected, too."""
    accounts = three.popauth.accounts
    assert await three.rcpt(ANN) != "250"
    for _ in range(2):
        await accounts.add_domain("example.net")
        await three.heard(domain_key("example.net"))
        assert await three.rcpt(ANN) == "550"
        assert await three.actions(ANN) == [Refuse]
        await accounts.add_account("ann@example.net", PASSWORD)
        await three.heard(account_key(ANN))
        assert await three.rcpt(ANN) == "250"
        assert await three.actions(ANN) == [Store]
        await accounts.remove_account("ann@example.net")
        await three.heard(account_key(ANN))
        assert await three.rcpt(ANN) == "550"
        assert await three.actions(ANN) == [Refuse]
        await accounts.remove_domain("example.net")
        await three.heard(domain_key("example.net"))
        assert "example.net" not in three.smtpd.directory.domains
        assert await three.rcpt(ANN) != "250"


async def test_a_new_account_is_known_before_anybody_has_heard_of_it(three: Three) -> None:
    """Nobody has asked before: the first one reads it."""
    await three.popauth.accounts.add_domain("example.net")
    await three.popauth.accounts.add_account("ann@example.net", PASSWORD)
    assert await three.rcpt(ANN) == "250"
    assert await three.actions(ANN) == [Store]


async def test_a_change_made_right_after_a_reconnect(three: Three, nats_server: NatsServer) -> None:
    """popauth is back and writes, whether the others hear again or not."""
    accounts, bus = three.popauth.accounts, three.popauth.bus
    await accounts.add_domain("example.net")
    await accounts.add_account("ann@example.net", PASSWORD)
    assert await three.rcpt(ANN) == "250"
    assert await three.actions(ANN) == [Store]
    nats_server.kill()
    nats_server.start()
    await patiently(lambda: Bucket(bus, subjects.DIRECTORY).last("x"), None)
    await accounts.set_flags("ann@example.net", {NO_SMTP: True})
    await three.heard(account_key(ANN))
    for directory in (three.smtpd.directory, three.local):
        account = await directory.account(ANN)
        assert account is not None
        assert account.flags == {NO_SMTP}
    await accounts.remove_account("ann@example.net")
    await three.heard(account_key(ANN))
    assert await three.rcpt(ANN) == "550"
    assert await three.actions(ANN) == [Refuse]
