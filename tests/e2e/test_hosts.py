"""A relay that is down, on a whole platform with the users and rights of its own bus.

It is left alone for all domains that go there, seen over HTTP, and tried again once an operator
says so.
"""

from typing import Any

import httpx
import pytest

from tests.e2e.platform import NewPlatform, Platform, until
from tests.e2e.sink import Sink
from tests.nats_server import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def http(platform: Platform) -> httpx.Client:
    """A client of /v1, through the gateway."""
    host, port = platform.addresses["admin"]
    token = {"Authorization": f"Bearer {(platform.data / 'token').read_text().strip()}"}
    return httpx.Client(base_url=f"http://{host}:{port}/v1", headers=token, timeout=30)


def replies(platform: Platform) -> dict[str, str]:
    mails: list[dict[str, Any]] = platform.json("qread")
    return {r["address"]: r["reply"] for mail in mails for r in mail["recipients"]}


def send(platform: Platform, *to: str) -> None:
    for address in to:
        with platform.smtp() as client:
            client.sendmail("joe@client.example", [address], "Subject: x\r\n\r\nHi.\r\n")


def test_a_relay_that_is_down_is_left_alone_until_an_operator_resets_it(
    new_platform: NewPlatform, sink: Sink
) -> None:
    platform = new_platform("--processes").start()
    platform.ok("control", "set", "rcpthosts", ".example")
    platform.ok("control", "set", "smtproutes", f":127.0.0.1:{free_port()}")
    platform.ok("control", "set", "destinations", ":20", "mx 127.0.0.1:5", "mx .relay.example:5")
    send(platform, "a@one.example", "b@two.example")
    with http(platform) as client:
        until(lambda: [h["failures"] for h in client.get("hosts").json()] == [2], 30, "back-off")
        (found,) = client.get("hosts").json()
        assert (found["ip"], found["why"]) == ("127.0.0.1", "connection refused")
        send(platform, "c@three.example")
        until(lambda: "not tried" in replies(platform).get("c@three.example", ""), 30, "the third")
        assert "127.0.0.1: not tried, connection refused; again from 20" in str(replies(platform))
        assert client.post("hosts/127.0.0.1/reset").json()["ip"] == "127.0.0.1"
        assert client.get("hosts").json() == []
        assert "tubepost_hosts_backed_off" in httpx.get(f"{client.base_url.join('/metrics')}").text
    platform.ok("control", "set", "smtproutes", sink.route(""))
    platform.ok("queue", "flush", "--all")
    sink.wait_for(3, 30)
    platform.wait_for_empty_queue(20)
    assert "permissions violation" not in platform.log_tail(10_000).lower()
