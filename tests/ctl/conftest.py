"""The command, and popauth for it to talk to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ctl.running import Command, popauth
from tests.nats_server import NatsServer
from tubepost.nats_bus import NatsBus


@pytest.fixture
def unheard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Its platform does not run: for what is refused before anybody is asked."""
    for name in ("TUBEPOST_ADMIN", "TUBEPOST_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUBEPOST_ACTOR", "kim")
    data = tmp_path / "data"
    data.mkdir()
    (data / "admin").write_text("127.0.0.1:1\n")
    (data / "token").write_text("secret\n")
    return Command(data, monkeypatch, capsys)


@pytest.fixture
async def command(
    unheard: Command, bus: NatsBus, nats_server: NatsServer, tmp_path: Path
) -> AsyncIterator[Command]:
    """On a platform that holds nothing but the domain example.org."""
    assert bus.connected
    async with popauth(nats_server, tmp_path / "mail") as address:
        (unheard.data / "admin").write_text(address + "\n")
        await unheard.ok("domain", "add", "example.org")
        yield unheard
