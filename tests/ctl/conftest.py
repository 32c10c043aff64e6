"""The command, and popauth for it to talk to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ctl.running import Command, popauth
from tests.nats_server import NatsServer
from tubepost.nats_bus import NatsBus


@pytest.fixture
async def command(
    bus: NatsBus,
    nats_server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Command]:
    """On a platform that holds nothing but the domain example.org."""
    assert bus.connected
    for name in ("TUBEPOST_ADMIN", "TUBEPOST_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUBEPOST_ACTOR", "kim")
    data = tmp_path / "data"
    data.mkdir()
    async with popauth(nats_server, tmp_path / "mail") as address:
        (data / "admin").write_text(address + "\n")
        (data / "token").write_text("secret\n")
        command = Command(data, monkeypatch, capsys)
        await command.ok("domain", "add", "example.org")
        yield command
