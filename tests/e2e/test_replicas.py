"""Scheduler replicas as processes on one server: they share, and one that is killed is replaced."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nats_server import NatsServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SHARDS = 4
TAKEN_OVER_WITHIN = 15.0
"""The promise of docs/architecture.md."""


class Replica:
    """A scheduler process, and the shards its log says it owns."""

    def __init__(self, url: str) -> None:
        settings = {
            "TUBEPOST_NATS_URL": url,
            "TUBEPOST_SHARDS": str(SHARDS),
            "TUBEPOST_ADMIN_LISTEN": "127.0.0.1:0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.scheduler"],
            env={**os.environ, **settings},
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr
        self.log = self._process.stderr
        self._rest = b""
        self.owned: set[int] = set()

    def read(self) -> None:
        """Takes in what the log has; call it when there is something."""
        *lines, self._rest = (self._rest + os.read(self.log.fileno(), 65_536)).split(b"\n")
        for event in map(json.loads, lines):
            if event["event"] == "shard.owned":
                self.owned.add(event["shard"])
            elif event["event"] in ("shard.given_up", "shard.lost"):
                self.owned.discard(event["shard"])

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self.owned.clear()

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(30)

    def release(self) -> None:
        if self._process.poll() is None:
            self.kill9()
        self.log.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer.plain(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def replicas(server: NatsServer) -> Iterator[list[Replica]]:
    found: list[Replica] = []
    yield found
    for replica in found:
        replica.release()


def until_shared(replicas: list[Replica], *shares: int, seconds: float = 60.0) -> None:
    """Returns when every shard has one owner and the shares are so; reads the logs as they come."""
    give_up = time.monotonic() + seconds
    while not _shared(replicas, shares):
        left = give_up - time.monotonic()
        assert left > 0, [replica.owned for replica in replicas]
        ready, _, _ = select.select([replica.log for replica in replicas], [], [], left)
        for replica in replicas:
            if replica.log in ready:
                replica.read()


def _shared(replicas: list[Replica], shares: tuple[int, ...]) -> bool:
    owned = sorted(shard for replica in replicas for shard in replica.owned)
    counts = sorted(len(replica.owned) for replica in replicas)
    return owned == list(range(SHARDS)) and counts == sorted(shares)


def test_replicas_share_and_a_killed_one_is_replaced_in_time(
    server: NatsServer, replicas: list[Replica]
) -> None:
    replicas.append(Replica(server.url))
    until_shared(replicas, 4)
    replicas.append(Replica(server.url))
    until_shared(replicas, 2, 2)
    replicas.append(Replica(server.url))
    until_shared(replicas, 2, 1, 1)
    killed = replicas.pop(0)
    killed.kill9()
    began = time.monotonic()
    until_shared(replicas, 2, 2)
    assert time.monotonic() - began < TAKEN_OVER_WITHIN
    killed.release()
    assert replicas[0].stop() == 0
    until_shared(replicas[1:], 4)


def test_replicas_that_begin_before_the_server_share_once_it_is_there(
    server: NatsServer, replicas: list[Replica]
) -> None:
    server.kill()
    replicas += [Replica(server.url) for _ in range(2)]
    server.start()
    until_shared(replicas, 2, 2)
    server.kill()
    server.start()
    until_shared(replicas, 2, 2)
