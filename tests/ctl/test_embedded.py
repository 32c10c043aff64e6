"""The configuration of the embedded nats-server, and that a real one takes it."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ctl import embedded
from ctl.services import SERVICES
from tests.nats_server import NatsServer
from tubepost.errors import Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.permissions import rights
from tubepost.provision import Plan, provision

SHARDS = 2
PASSWORDS = {name: f"secret of {name}" for name in SERVICES}


def configured(folder: Path) -> Any:
    """As nats-server reads it."""
    return json.loads(json.dumps(embedded.configuration(folder, 4222, PASSWORDS, SHARDS)))


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert config["listen"] == "127.0.0.1:4222"
    assert {"http", "cluster", "leafnodes", "websocket", "mqtt", "gateway"}.isdisjoint(config)


def test_what_it_acknowledges_is_on_disk(tmp_path: Path) -> None:
    jetstream = configured(tmp_path)["jetstream"]
    assert jetstream["sync_interval"] == "always"
    assert jetstream["store_dir"] == str(tmp_path / "store")


def test_each_service_has_a_user_of_its_own_with_its_rights_and_nobody_else(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path)
    assert "no_auth_user" not in config
    assert list(config["accounts"]) == ["MAIL"]
    users = {user["user"]: user for user in config["accounts"]["MAIL"]["users"]}
    assert set(users) == set(SERVICES)
    for name, right in rights(SHARDS).items():
        assert users[name]["password"] == PASSWORDS[name]
        assert users[name]["permissions"]["publish"] == {"allow": list(right.publish)}
        assert users[name]["permissions"]["subscribe"] == {"allow": list(right.subscribe)}


def test_what_is_stored_does_not_shrink_the_limit(tmp_path: Path) -> None:
    def limit() -> int:
        return int(configured(tmp_path)["jetstream"]["max_file"])

    before = limit()
    store = tmp_path / "store" / "deep"
    store.mkdir(parents=True)
    stored = 64 << 20
    (store / "block").write_bytes(b"x" * stored)
    assert limit() > before - stored // 4


def test_its_file_is_for_its_user_alone_and_passwords_are_new_at_each_start(
    tmp_path: Path,
) -> None:
    first, second = (embedded.prepare(tmp_path / "nats", SHARDS) for _ in range(2))
    assert set(first.passwords) == set(SERVICES)
    assert not set(first.passwords.values()) & set(second.passwords.values())
    assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "nats" / "nats.conf").stat().st_mode) == 0o600


async def test_a_real_server_takes_it_and_lets_in_only_who_has_a_password(
    tmp_path: Path,
) -> None:
    made = embedded.prepare(tmp_path / "nats", SHARDS)
    server = NatsServer(made.command, made.url)
    server.start()
    try:
        bus = await connected(made, "scheduler")
        assert await provision(bus.client, Plan(SHARDS, 1, 10_800))
        await bus.close()
        bus = await connected(made, "local")
        with pytest.raises(Unavailable):
            await provision(bus.client, Plan(SHARDS, 1, 10_800))
        await bus.close()
    finally:
        server.stop()


async def connected(made: embedded.Embedded, user: str) -> NatsBus:
    return await NatsBus.connect([made.url], name=user, user=user, password=made.passwords[user])
