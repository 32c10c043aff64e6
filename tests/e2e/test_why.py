"""`tubepost why` and `tubepost destinations`: a live platform, real peers, a real zone."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.dns_server import serving_dns
from tests.e2e.platform import Platform, until
from tests.remote.smtp_peer import MemoryPeer, listening, speaking

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ZONE = """
mx.good.example. IN A 127.0.0.1
null.example. IN MX 0 .
"""
GREY = b"451 4.7.1 greylisted, come back later\r\n"
JOE = "joe@example.org"
CLOSED = 1
"""A port of loopback where nobody listens."""


class World:
    """A name server and a peer, in a thread of their own. `lines`: what the peer was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.dns_port = self.smtp_port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stack = AsyncExitStack()

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _begin(self) -> None:
        dns = await self._stack.enter_async_context(serving_dns(ZONE))
        self.dns_port = dns.port
        self.smtp_port = await self._stack.enter_async_context(listening(self._meet))

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = MemoryPeer({"RCPT TO:<bob@": GREY, "RCPT TO:<gone@": b"550 5.1.1 no such user\r\n"})
        peer.lines = self.lines
        await speaking(peer)(reader, writer)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    world.start()
    yield world
    world.stop()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("why") / "data", "--processes")
    platform.environment = {
        "TUBEPOST_NAMESERVERS": "127.0.0.1",
        "TUBEPOST_NAMESERVER_PORT": str(world.dns_port),
    }
    try:
        platform.start().with_accounts("joe", "postmaster")
        routes = [
            f"good.example:mx.good.example:{world.smtp_port}",
            f".grey.example:mx.good.example:{world.smtp_port}",
            f"dead.example:127.0.0.1:{CLOSED}",
        ]
        platform.ok("control", "set", "smtproutes", *routes)
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


def why(platform: Platform, *args: str, code: int) -> str:
    """What it printed; its exit code is as told."""
    done = platform.command("why", *args)
    assert done.returncode == code, done
    assert done.stderr == b""
    return done.stdout.decode()


def found(platform: Platform, *args: str) -> dict[str, Any]:
    done = platform.command("why", *args, "--json")
    facts: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if facts["verdict"]["goes"] else 1), done
    return facts


def sent(platform: Platform, to: str) -> str:
    host, port = platform.addresses["admin"]
    token = (platform.data / "token").read_text().strip()
    answer = httpx.post(
        f"http://{host}:{port}/v1/messages",
        params={"sender": JOE, "recipient": to},
        content=b"Subject: x\r\n\r\nHi.\r\n",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"},
    )
    return str(answer.raise_for_status().json()["id"])


def attempts(platform: Platform, mail_id: str) -> int:
    [unit] = platform.json("queue", "show", mail_id)["units"]
    return int(unit["attempts"])


def test_a_good_host(platform: Platform, world: World) -> None:
    text = why(platform, "good.example", code=0)
    lines = text.splitlines()
    assert lines[0] == "routing     remote: good.example is not one of our domains"
    assert "queue       nothing" in lines
    assert (
        f"plan        smtproutes line good.example: to mx.good.example port {world.smtp_port}"
        in lines
    )
    assert any(line.startswith("dns         mx.good.example A: 127.0.0.1  (") for line in lines)
    assert f"host        0 mx.good.example 127.0.0.1 port {world.smtp_port}" in lines
    assert "              220 peer.example ESMTP" in lines
    assert "              offers PIPELINING, SIZE 1000000, 8BITMIME" in lines
    assert lines[-1].startswith("Nothing for good.example waits, and a mail would go: ")
    assert not any(line.startswith("MAIL") for line in world.lines)


def test_a_recipient_that_is_not_there(platform: Platform, world: World) -> None:
    facts = found(platform, "gone@good.example", "--rcpt")
    assert facts["verdict"]["reason"] == "unknown_user"
    assert facts["tried"][0]["rcpt"]["status"] == "5.1.1"
    assert found(platform, "ann@good.example", "--rcpt")["verdict"]["goes"]
    assert "DATA" not in world.lines


def test_greylisting(platform: Platform) -> None:
    mail_id = sent(platform, "bob@a.grey.example")
    until(lambda: attempts(platform, mail_id) == 1, 20, "the first attempt")
    text = why(platform, "bob@a.grey.example", "--rcpt", code=1)
    assert "plan        smtproutes line .grey.example: to mx.good.example" in text
    assert "bob@a.grey.example, after 1 attempt: " in text
    assert "greylists us (451 4.7.1 greylisted, come back later)" in text.splitlines()[-1]
    facts = found(platform, "a.grey.example", "--mail", mail_id)
    assert (facts["verdict"]["reason"], facts["mail"]["units"]) == ("waiting", 1)
    assert f"tubepost queue flush {mail_id}" in facts["verdict"]["sentence"]
    other = found(platform, "good.example", "--mail", mail_id)
    assert other["verdict"]["reason"] == "not_in_queue"
    platform.ok("queue", "hold", mail_id, "--reason", "let it be", "--actor", "kim")
    held = why(platform, "a.grey.example", code=1).splitlines()[-1]
    assert held == (
        "1 mail for a.grey.example is held by kim (let it be); "
        f"to let it go: tubepost queue release {mail_id}"
    )
    platform.ok("queue", "delete", mail_id)


def test_a_dead_host_is_listed_and_reset(platform: Platform) -> None:
    ids = [sent(platform, "ann@dead.example") for _ in range(2)]
    until(lambda: all(attempts(platform, i) == 1 for i in ids), 20, "both attempts")
    lines = why(platform, "dead.example", code=1).splitlines()
    assert f"host        0 127.0.0.1 port {CLOSED}" in lines
    assert lines[-1].startswith("The only host of dead.example refused the connection")
    [dead] = platform.json("destinations")
    assert (dead["name"], dead["failures"]) == ("dead.example", 2)
    text = platform.ok("destinations")
    assert text.startswith("dead.example\t")
    assert "\tlimit 20\tuntil 20" in text
    assert platform.ok("destinations", "reset", "dead.example").startswith("reset dead.example\n")
    for mail_id in ids:
        platform.ok("queue", "delete", mail_id)


def test_a_null_mx(platform: Platform) -> None:
    lines = why(platform, "ann@null.example", code=1).splitlines()
    assert any(line.startswith("dns         null.example MX: 0 .  (") for line in lines)
    assert lines[-1] == (
        "null.example takes no mail at all, its MX record is null: a mail for it bounces."
    )


def test_a_domain_of_ours(platform: Platform) -> None:
    assert found(platform, JOE)["verdict"]["reason"] == "local"
    nobody = found(platform, "nobody@example.org")
    assert (nobody["mailbox"], nobody["verdict"]["reason"]) == (False, "mailbox")
    assert "plan" not in nobody, "no connection for a domain of ours"


def test_a_pause_and_no_slots(platform: Platform) -> None:
    platform.ok("queue", "pause", "good.example", "--reason", "repairs", "--actor", "kim")
    text = why(platform, "good.example", code=1)
    assert "paused      good.example, by kim, " in text
    assert text.splitlines()[-1] == (
        "good.example is paused by kim: repairs; to go on: tubepost queue resume good.example"
    )
    platform.ok("queue", "resume", "good.example")
    platform.ok("control", "set", "concurrencyremote", "0")
    until(
        lambda: found(platform, "good.example")["verdict"]["reason"] == "no_slots",
        20,
        "the setting",
    )
    platform.ok("control", "set", "concurrencyremote", "20")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["two words"], "'two words' is not a domain name"),
        (["good.example", "--rcpt"], "--rcpt asks about an address; write user@domain"),
        ([], "Missing argument 'ADDRESS|DOMAIN'."),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    platform: Platform, args: list[str], why: str
) -> None:
    done: subprocess.CompletedProcess[bytes] = platform.command("why", *args)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"tubepost: {why}\n"
