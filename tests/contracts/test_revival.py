"""What nats-server brings back after kills: purged records, on one server (docs/howto/chaos.md).

Found by the chaos runner with 2.15.1 and the same with 2.11 to 2.14. Strict: the day a server
keeps its promise, these fail, and what we do about it can go.
"""

from pathlib import Path

import pytest

from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.nats_bus import NatsBus
from tubepost.provision import Plan, provision
from tubepost.subjects import Key

SIZE = 32_000
IN_A_BLOCK = 256
"""Records of that size in a block of the server's file, which has 8 MiB."""


async def killed_and_started(server: NatsServer, bus: NatsBus) -> NatsBus:
    await bus.close()  # first: nats-py would wait 10 s for a server that it has not missed yet
    server.kill()
    server.start()
    return await server.connect()


async def revived(bus: NatsBus, ended: set[str]) -> set[str]:
    return {key for key in ended if await bus.read(subjects.queue_stream(0), key, leader=True)}


@pytest.mark.xfail(strict=True, reason="nats-server forgets purges when it rebuilds a block")
async def test_a_purged_record_stays_away_after_two_kills(tmp_path: Path) -> None:
    """The first start replays the purges of a block and, half way through, rewrites the block:
    what is purged by the rest is written once more, and the marks of the purges are not."""
    server = NatsServer.plain(tmp_path)
    server.start()
    bus = await server.connect()
    try:
        await provision(bus.client, Plan(1, 1, 3600.0))
        ended = set()
        for n in range(IN_A_BLOCK + 10):
            key = Key(0, f"{n:023x}", "0").record
            await bus.append(key, bytes(SIZE))
            if n % 20:
                await bus.purge(subjects.queue_stream(0), key)
                ended.add(key)
        bus = await killed_and_started(server, bus)
        assert await revived(bus, ended) == set(), "the first start is not the one that fails"
        bus = await killed_and_started(server, bus)
        assert await revived(bus, ended) == set()
    finally:
        await bus.close()
        server.stop()
