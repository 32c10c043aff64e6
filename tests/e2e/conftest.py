"""Platforms for tests. The shared one is for scenarios that neither kill nor stop it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import NewPlatform, Platform
from tests.e2e.sink import Sink, listening


@pytest.fixture
def new_platform(tmp_path: Path) -> Iterator[NewPlatform]:
    """Makes platforms that are gone after the test: new_platform(*options, data=...)."""
    made: list[Platform] = []

    def make(*options: str, data: str = "data") -> Platform:
        platform = Platform(tmp_path / data, *options)
        made.append(platform)
        return platform

    yield make
    for platform in made:
        platform.release()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Five processes; example.org with joe, ann and postmaster."""
    platform = Platform(tmp_path_factory.mktemp("shared") / "data", "--processes")
    try:
        platform.start().with_accounts("joe", "ann", "postmaster")
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Another host on loopback."""
    with listening() as sink:
        yield sink
