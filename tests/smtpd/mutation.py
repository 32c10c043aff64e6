"""Sessions made by mutation from the corpus in corpus/*.txt: octets that a client might send.

A file of the corpus is written as the `C>` lines of a conversation are, with \\r and \\xNN; its own
line ends mean nothing, and lines that begin with `#` say what it is. What a run finds comes there.
"""

import random
from pathlib import Path

from tests.conversations.play import unescaped

FOLDER = Path(__file__).parent / "corpus"

TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b".\r\n", b"\r\n.\r\n", b"\n.\n", b"\r\n.\n", b" ", b"\t",
    b"\xff", b"\xc3\xa9", b"<>", b"<", b">", b'"', b"\\", b"@", b":", b",", b"=", b"+2B", b"*",
    b"x" * 600, b"x" * 1100, b"x" * 9000, b"DATA\r\n", b"RSET\r\n", b"QUIT\r\n", b"NOOP\r\n",
    b"HELO a\r\n", b"EHLO a\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<ann@example.net>\r\n",
    b"STARTTLS\r\n", b"AUTH PLAIN\r\n", b" SIZE=99999999999999999999", b" NOTIFY=NEVER,DELAY",
    b"SMTPUTF8",
)  # fmt: skip


def corpus() -> dict[str, bytes]:
    """name -> what the client of that file sends."""
    return {path.stem: _octets(path) for path in sorted(FOLDER.glob("*.txt"))}


def _octets(path: Path) -> bytes:
    lines = path.read_text("ascii").splitlines()
    return b"".join(unescaped(line) for line in lines if not line.startswith("#"))


def mutated(octets: bytes, others: list[bytes], luck: random.Random) -> bytes:
    """One to six changes, each at some place."""
    for _ in range(luck.randint(1, 6)):
        start = luck.randint(0, len(octets))
        end = min(len(octets), start + luck.choice((0, 1, 2, 10, 100)))
        octets = octets[:start] + _instead(octets[start:end], others, luck) + octets[end:]
    return octets


def _instead(part: bytes, others: list[bytes], luck: random.Random) -> bytes:
    match luck.randrange(5):
        case 0:
            return luck.choice(TOKENS)
        case 1:
            return part + part
        case 2:
            other = luck.choice(others)
            start = luck.randint(0, len(other))
            return other[start : start + luck.choice((5, 50, 5000))]
        case 3:
            return luck.randbytes(len(part) + 1)
        case _:
            return b""
