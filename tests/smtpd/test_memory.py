"""Many large mails at once over a small budget: what is counted is bounded, and nothing is lost."""

import asyncio
from dataclasses import replace

import pytest

from services.smtpd.budget import COPIES, Budget
from services.smtpd.session import Session
from tests.smtpd.client import Client, connected
from tests.smtpd.running import PATIENCE, Smtpd

NO_ROOM = "452 no room to read this mail now, try again later (#4.3.1)"
MAIL = b"\r\n" + (b"x" * 998 + b"\r\n") * 300


class Watched(Budget):
    """Remembers the most that was counted."""

    most = 0

    def __setattr__(self, name: str, value: int) -> None:
        super().__setattr__(name, value)
        if name == "used":
            type(self).most = max(type(self).most, value)


@pytest.fixture
def budget(smtpd: Smtpd) -> Watched:
    """Room for two mails and a half."""
    Watched.most = 0
    found = Watched(COPIES * len(MAIL) * 5 // 2)
    listener = smtpd.listeners["smtp"]
    listener.parts = replace(listener.parts, memory=found)
    return found


async def read(budget: Budget, octets: int) -> None:
    """Returns when so many octets are counted."""
    async with asyncio.timeout(PATIENCE):
        while budget.used < octets:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0)


async def send(client: Client) -> str:
    await client.begin_mail()
    await client.say(MAIL + b".\r\n")
    return await client.reply()


async def test_what_has_no_room_comes_again(smtpd: Smtpd, budget: Watched) -> None:
    port = smtpd.ports["smtp"]
    async with connected(port) as one, connected(port) as two, connected(port) as three:
        for n, client in enumerate((one, two), 1):
            await client.begin_mail()
            await client.say(MAIL)
            await read(budget, n * COPIES * (len(MAIL) - 5))
        assert await send(three) == NO_ROOM
        await one.say(b".\r\n")
        assert (await one.reply()).startswith("250 ok ")
        assert (await send(three)).startswith("250 ok ")
        await two.say(b".\r\n")
        assert (await two.reply()).startswith("250 ok ")
    assert budget.used == 0
    assert len(await smtpd.mails()) == 3


async def test_many_large_mails_at_once(smtpd: Smtpd, budget: Watched) -> None:
    async def one() -> str:
        async with connected(smtpd.ports["smtp"]) as client:
            return await send(client)

    replies = await asyncio.gather(*(one() for _ in range(30)))
    taken = [reply for reply in replies if reply.startswith("250 ok ")]
    assert taken
    assert [reply for reply in replies if reply not in taken] == [NO_ROOM] * (30 - len(taken))
    assert len(await smtpd.mails()) == len(taken)
    assert 0 < Watched.most <= budget.limit
    assert budget.used == 0


@pytest.mark.parametrize("how", ["hangs up", "falls silent", "is refused", "we end"])
async def test_the_room_is_given_back(smtpd: Smtpd, budget: Watched, how: str) -> None:
    listener = smtpd.listeners["smtp"]
    await smtpd.set(timeoutdata="1" if how == "falls silent" else "300")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        await client.say(MAIL)
        await read(budget, COPIES * (len(MAIL) - 5))
        listener.emptied.clear()
        if how == "is refused":
            await client.say(b"\0\r\n.\r\n")
            assert (await client.reply()).startswith("554 ")
        elif how == "falls silent":
            assert await client.reply() == "451 timeout (#4.4.2)"
        elif how == "we end":
            await listener.drain(0.01)
    await asyncio.wait_for(listener.emptied.wait(), PATIENCE)
    assert budget.used == 0
    assert await smtpd.mails() == []


async def test_nothing_is_kept_of_verbs_that_nobody_knows(smtpd: Smtpd) -> None:
    known = set(Session.command_size_limits)
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("EHLO laptop")
        assert await client.ask("XYZZY") == "500 5.5.1 unimplemented (#5.5.1)"
        assert await client.ask("X" * 60_000) == "500 5.5.2 line too long (#5.5.2)"
    assert set(Session.command_size_limits) == known
