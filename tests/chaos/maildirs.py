"""What is in the Maildirs of a chaos run: mails in boxes, bounces at the senders."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.accounting import Bounce, Boxed
from tests.chaos.fleet import Fleet
from tests.chaos.workload import BOXES, POSTMASTER, SENDERS, digest

_TOKEN = re.compile(rb"^X-Chaos: (c\d+)", re.M)
_DEAD = re.compile(rb"^Final-Recipient: rfc822; (\S+)", re.M)


def boxed(fleet: Fleet) -> list[Boxed]:
    """Every file in a recipient's Maildir."""
    return [
        Boxed(address, _token(content), file.name, file.stat().st_mtime, digest(content))
        for address in BOXES
        for file, content in _contents(fleet, address)
    ]


def bounces(fleet: Fleet) -> list[Bounce]:
    """Every dead recipient in every bounce, double bounces too."""
    return [
        Bounce(dead.decode(), _token(content), file.name, file.stat().st_mtime)
        for address in (*SENDERS, POSTMASTER)
        for file, content in _contents(fleet, address)
        for dead in _DEAD.findall(content)
    ]


def _contents(fleet: Fleet, address: str) -> Iterator[tuple[Path, bytes]]:
    for file in fleet.files(address):
        yield file, file.read_bytes()


def _token(content: bytes) -> str:
    found = _TOKEN.search(content)
    return found[1].decode() if found else ""
