"""No file names the host of a package registry: the machine says where packages come from."""

import re

import pytest

from tests.docs.pages import ROOT, files

# In two parts each, so that this file holds none of them either.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("anaconda", "org"),
        ("proxy.golang", "org"),
        ("repo.maven.apache", "org"),
        ("docker", "io"),
        ("docker", "com"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
        ("registry.k8s", "io"),
        ("public.ecr", "aws"),
        ("mcr.microsoft", "com"),
    )
]
NAMED = re.compile(
    rb"(?<![\w-])(?:" + b"|".join(re.escape(h).encode() for h in HOSTS) + rb")(?![\w-])"
)


def test_no_file_names_a_registry() -> None:
    found = {
        str(path.relative_to(ROOT)): match[0].decode()
        for path in files()
        if (match := NAMED.search(path.read_bytes()))
    }
    assert found == {}


@pytest.mark.parametrize("host", HOSTS)
def test_the_search_finds_each_of_them(host: str) -> None:
    assert NAMED.search(f"see https://www.{host}/simple".encode())
    assert not NAMED.search(f"not{host}".encode())
