"""The limit of descriptors is raised as far as it may be, and never lowered."""

import resource
from collections.abc import Iterator

import pytest

from tubepost.file_limit import raise_soft


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    """What was in force comes back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_it_is_raised_to_what_is_wanted(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    raise_soft(300)
    assert soft() == 300


def test_it_is_not_lowered(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, limits[1]))
    raise_soft(300)
    assert soft() == 400


def test_the_hard_limit_holds(limits: tuple[int, int]) -> None:
    if limits[1] == resource.RLIM_INFINITY:
        pytest.skip("this system has no hard limit")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    raise_soft(limits[1] + 1)
    assert soft() == limits[1]
