"""What is typed, or read from a file: passwords, quotas, addresses one a line."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from tubepost.errors import BadInput

STDIN = Path("-")

FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read it from standard input.")]
FromFile = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Addresses, one a line; - = standard input."),
]
Quota = Annotated[
    str, typer.Argument(metavar="QUOTA", help="10M, 500K, 1000C (mails), 10M,1000C or NOQUOTA.")
]


def password(from_stdin: bool) -> str:
    """As typed twice, or the first line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInput("standard input is not a terminal: use --password-stdin")
    first, second = getpass.getpass("Password: "), getpass.getpass("Again: ")
    if first != second:
        raise BadInput("the two passwords differ")
    return first


def addresses(given: list[str] | None, file: Path | None) -> list[str]:
    """Those given and those in a file; empty lines and # comments are left out."""
    lines = [line.strip() for line in _text(file).splitlines()] if file else []
    found = [*(given or []), *(line for line in lines if line and not line.startswith("#"))]
    return list(dict.fromkeys(found))


def _text(file: Path) -> str:
    try:
        octets = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
        return octets.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8") from error
