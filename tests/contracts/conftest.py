"""The two adapters of the Bus port: every test that takes `any_bus` runs on both."""

import pytest

from tubepost.ports import Bus


@pytest.fixture(params=["memory", "nats"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    name = {"memory": "memory_bus", "nats": "bus"}[request.param]
    found: Bus = request.getfixturevalue(name)
    return found
