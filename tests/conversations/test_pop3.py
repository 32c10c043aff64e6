"""Every conversation in pop3/ against a POP3 server on a socket, each with fresh mailboxes."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.popauth.connection import Pop3Server, Pop3Service
from tests.conversations.play import ConversationError, play
from tests.popauth.authority import FakeAuthority, fill

FOLDER = Path(__file__).parent / "pop3"

ONE = b"""\
From: bob@example.org
To: alice@example.net
Subject: one

first line
second line
third line
"""
TWO = b"Subject: two\n\n.\n..dots\nlast line without an end"
THREE = b"Subject: three\r\n\r\nalready CRLF\r\n"

FIRST = f"1700000001.M9P2Q3.host,S={len(ONE)},W=99"
SECOND = "1700000002.M1P2Q3." + "long-host-name" * 5
THIRD = "1700000003.M1P2Q3.host"

VARIABLES = {
    "uid1": FIRST,
    "uid2": hashlib.sha256(SECOND.encode()).hexdigest(),
    "uid3": THIRD,
    "x248": "x" * 248,
}


@pytest.fixture
def authority(tmp_path: Path) -> FakeAuthority:
    """Knows alice, with three mails, and newcomer, who has no Maildir."""
    fill(
        tmp_path / "alice",
        {f"new/{FIRST}": ONE, f"new/{SECOND}": TWO, f"cur/{THIRD}:2,S": THREE},
    )
    passwords = {"alice": "wonderland is here", "newcomer": "first day"}
    return FakeAuthority(tmp_path, passwords)


@pytest.fixture
async def address(authority: FakeAuthority) -> AsyncIterator[tuple[str, int]]:
    """A server on a free port; it must have met no fault but the one a `bug` makes."""
    faults: list[str] = []
    server = Pop3Server(
        Pop3Service(authority=authority, hostname="mail.example", on_fault=faults.append)
    )
    yield await server.start("127.0.0.1", 0)
    await server.close(grace=5)
    assert faults == ["POP3 login"] * sum(user == "bug" for user, _ in authority.asked)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
async def test_conversation(path: Path, address: tuple[str, int]) -> None:
    await play(path, *address, variables=VARIABLES)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("S: +OK", "line 2\n  expected: S: \\+OK\n  got:      S: \\+OK Tubepost on"),
        ("S~ .+\nC: QUIT\nS! close", "line 4\n  expected: S! close\n  got:      S: \\+OK bye"),
        ("S~ .+\nC: QUIT\nS...\nS: more", "line 5\n.*\n.*the server closed the connection"),
        ("C: {nothing}", "line 2\n.*\n.*no variable {nothing}"),
        ("Q: what", "line 2\n.*\n.*begins with none of"),
        ("C! now", "line 2\n.*\n.*something else than close"),
    ],
)
async def test_player_tells_where_a_conversation_failed(
    script: str, complaint: str, tmp_path: Path, address: tuple[str, int]
) -> None:
    path = tmp_path / "sample.txt"
    path.write_text(f"# why\n{script}\n")
    with pytest.raises(ConversationError, match=f"^sample.txt, {complaint}"):
        await play(path, *address)


async def test_player_wants_a_reason_on_top(tmp_path: Path, address: tuple[str, int]) -> None:
    path = tmp_path / "sample.txt"
    path.write_text("S~ .+\n")
    with pytest.raises(ConversationError, match="does not say on top why"):
        await play(path, *address)


async def test_player_can_bind_the_clients_address(
    tmp_path: Path, address: tuple[str, int], authority: FakeAuthority
) -> None:
    path = tmp_path / "sample.txt"
    path.write_text("# why\nC* 127.0.0.9\nS~ .+\nC: USER later\nC: PASS x\nS...\nS~ -ERR .+\n")
    await play(path, *address)
    assert authority.asked == [("later", "127.0.0.9")]
