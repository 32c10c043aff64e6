"""The two adapters of the Bus port: every test that takes `any_bus` runs on both."""

import pytest

from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus


@pytest.fixture(params=["memory", "nats"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    name = {"memory": "memory_bus", "nats": "bus"}[request.param]
    found: Bus = request.getfixturevalue(name)
    return found


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls on a real bus wait 1 s at most: for tests in which some get no answer."""
    defaults = NatsBus._call.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "seconds", 1.0)
