"""Which channel and destination an address has. Pure.

Local: the domain is one of ours (the directory holds it). Everything else is remote. The answer is
stored with the mail when it is accepted or split.
"""

from collections.abc import Container
from dataclasses import dataclass

from tubepost.subjects import LOCAL, REMOTE


@dataclass(frozen=True, slots=True)
class Route:
    """`destination`: the mailbox domain for local, the recipient's domain for remote."""

    channel: str
    destination: str


def route(address: str, local_domains: Container[str]) -> Route:
    """The route of a well-formed address."""
    domain = address.rpartition("@")[2].lower()
    return Route(LOCAL if domain in local_domains else REMOTE, domain)
