"""Every reply that stands in smtpd's code is heard: in a conversation or, where the player cannot
bring it about, in a test on a socket.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from services.smtpd import replies

ROOT = Path(__file__).parents[2]
SMTPD = ROOT / "services" / "smtpd"
HEARD = ROOT / "tests" / "conversations" / "smtp"
ON_SOCKETS = ROOT / "tests" / "smtpd"

WITH_ERRORS = ("services/smtpd/commands", "tubepost/dsn", "tubepost/address", "tubepost/idn")
ERRORS = {"BadInput", "AddressError", "NotAscii", "DomainError"}
"""What makes a 501 or a 553, and where."""

NEVER_SAID = {
    "502 unimplemented, goodbye (#5.5.1)": "aiosmtpd counts unknown verbs; our table has them all",
    "530 must issue STARTTLS first (#5.7.0)": "aiosmtpd's, where TLS is a must; not set",
}
"""aiosmtpd could say them, but has no reason to."""

_REPLY = re.compile(r"[2-5]\d\d ")
_ENHANCED = re.compile(r"^(\d{3}[ -])\d\\?\.\d\\?\.\d ")


def test_every_reply_is_heard() -> None:
    heard = _heard()
    missing = [
        reply
        for reply in _replies()
        if not any(_pattern(reply).fullmatch(text) for text in heard) and reply not in NEVER_SAID
    ]
    assert missing == []


def test_what_is_wrong_with_an_argument_is_heard() -> None:
    heard = "\n".join(_heard())
    said = _errors_of(*(f"{name}.py" for name in WITH_ERRORS))
    missing = [error for error in said if not re.search(rf"^5\d\d .*{error} \(#5", heard, re.M)]
    assert missing == []


def test_what_is_never_said_is_aiosmtpd_s() -> None:
    assert set(NEVER_SAID) <= set(replies._AIOSMTPD.values())


def _heard() -> set[str]:
    """What conversations expect, and every string in the tests on sockets, without 2034's code."""
    lines = (line for path in HEARD.glob("*.txt") for line in path.read_text("utf-8").splitlines())
    expected = {line[3:] for line in lines if line.startswith(("S: ", "S~ "))}
    strings = {text for path in ON_SOCKETS.rglob("test_*.py") for text in _strings(path)}
    return {_ENHANCED.sub(r"\1", text.strip()) for text in expected | strings}


def _replies() -> list[str]:
    """Those in the code; a part that is filled in is `{}`, a text that goes on ends in a blank."""
    not_ours = {*replies._AIOSMTPD, replies._UNKNOWN}
    found = {text for path in SMTPD.rglob("*.py") for text in _strings(path)} - not_ours
    return sorted(text for text in found if _REPLY.match(text))


def _pattern(reply: str) -> re.Pattern[str]:
    text = re.escape(reply).replace(r"\{\}", ".+")
    return re.compile(text.rstrip(" \\") + ".*" if reply.endswith(" ") else text)


def _strings(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    parts = {id(p) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for p in n.values}
    for node in ast.walk(tree):
        if id(node) not in parts and (text := _text(node)):
            yield text


def _text(node: ast.AST) -> str:
    """Of a string, one with braces in it included; bytes are strings here."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "{}" for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
        return node.value.decode("latin-1")
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _errors_of(*paths: str) -> list[str]:
    """What stands in each error that is raised there, as a pattern."""
    nodes = (n for path in paths for n in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))))
    raised = (n for n in nodes if isinstance(n, ast.Call) and getattr(n.func, "id", "") in ERRORS)
    found = [re.escape(_text(node.args[0])).replace(r"\{\}", ".+") for node in raised]
    assert found
    return found
