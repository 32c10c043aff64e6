"""`tubepost reshard`: on the data folder of a Tubepost that is stopped, or on a server of yours."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from ctl import output
from ctl.reshard import Reshard
from ctl.server import Server, locked, own_server
from tubepost import log_lines
from tubepost.errors import BadInput
from tubepost.nats_bus import NatsBus

CONNECT_WITHIN = 15.0
USER = "scheduler"
"""Of our own server: the service that makes the streams."""


def reshard(
    shards: Annotated[int, typer.Argument(min=1, max=64, help="How many there are to be.")],
    data: Annotated[Path, typer.Option(help="Folder of a Tubepost that is stopped.")] = Path(
        "data"
    ),
    nats: Annotated[str | None, typer.Option(metavar="URL", help="Use this server.")] = None,
    user: Annotated[str, typer.Option(help="User there: the scheduler's.")] = "",
    password_file: Annotated[Path | None, typer.Option(help="File with its password.")] = None,
) -> None:
    """Change the number of shards of the queue, while no service runs. May be repeated."""
    os.umask(0o077)
    log_lines.configure("error")
    if nats:
        password = password_file.read_text().strip() if password_file else ""
        moved = asyncio.run(_reshard(Server(nats, {user: password}), user, shards))
    else:
        moved = _in_folder(data, shards)
    output.lines([f"the queue has {shards} shards now; {moved} records have moved"])


def _in_folder(data: Path, shards: int) -> int:
    if not (data / "nats").is_dir():
        raise BadInput(f"no tubepost has run on {data}; give its folder as --data, or --nats URL")
    with locked(data) as lock:
        return asyncio.run(_on_own_server(data, shards, lock))


async def _on_own_server(data: Path, shards: int, lock: int) -> int:
    async with own_server(data, shards, lock) as server:
        return await _reshard(server, USER, shards)


async def _reshard(server: Server, user: str, shards: int) -> int:
    async with _connected(server, user) as bus:
        return await Reshard(bus, shards, _progress).run()


@contextlib.asynccontextmanager
async def _connected(server: Server, user: str) -> AsyncIterator[NatsBus]:
    password = server.passwords.get(user, "")
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            bus = await NatsBus.connect(
                server.url.split(","), name="reshard", user=user, password=password
            )
    except TimeoutError:
        raise BadInput(
            f"cannot connect to {server.url}: is it running, are user and password right?"
        ) from None
    try:
        yield bus
    finally:
        await bus.close()


def _progress(line: str) -> None:
    sys.stderr.write(line + "\n")
