"""AUTH PLAIN and LOGIN, the exchange alone."""

from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest

from services.smtpd.authenticate import Cancelled, UnknownMechanism, credentials
from tubepost.errors import BadInput


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def client(*lines: str) -> tuple[list[bytes], Callable[[bytes], Awaitable[str]]]:
    """A client that answers with these lines; and what it was challenged with."""
    challenges: list[bytes] = []
    left = list(lines)

    async def answer(challenge: bytes) -> str:
        challenges.append(challenge)
        return left.pop(0)

    return challenges, answer


async def test_plain_with_initial_response() -> None:
    challenges, answer = client()
    assert await credentials("PLAIN", b64("\0joe\0secret word"), answer) == ("joe", "secret word")
    assert challenges == []


async def test_plain_after_an_empty_challenge() -> None:
    challenges, answer = client(b64("\0joe@example.org\0pässword"))
    assert await credentials("PLAIN", None, answer) == ("joe@example.org", "pässword")
    assert challenges == [b""]


async def test_plain_ignores_the_authorization_identity() -> None:
    """Whoever has joe's password is joe, whoever he says he acts for."""
    _, answer = client()
    assert await credentials("PLAIN", b64("root\0joe\0x"), answer) == ("joe", "x")


async def test_login_asks_for_both() -> None:
    challenges, answer = client(b64("joe"), b64("secret"))
    assert await credentials("LOGIN", None, answer) == ("joe", "secret")
    assert challenges == [b"Username:", b"Password:"]


async def test_login_with_the_name_at_once() -> None:
    challenges, answer = client(b64("secret"))
    assert await credentials("LOGIN", b64("joe"), answer) == ("joe", "secret")
    assert challenges == [b"Password:"]


async def test_equals_sign_is_an_empty_response() -> None:
    _, answer = client("=")
    assert await credentials("LOGIN", "=", answer) == ("", "")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "====",
        "not base64!",
        b64("joe"),
        b64("joe\0secret"),
        b64("\0joe\0secret\0more"),
        b64encode(b"\0j\xff\0x").decode(),
        "AGpvZQBzZWNyZXQ",  # padding missing
    ],
)
async def test_malformed_plain(line: str) -> None:
    _, answer = client()
    with pytest.raises(BadInput, match="malformed"):
        await credentials("PLAIN", line, answer)


async def test_octets_that_are_not_ascii_are_malformed() -> None:
    _, answer = client("\ufffd")
    with pytest.raises(BadInput, match="malformed"):
        await credentials("PLAIN", None, answer)


@pytest.mark.parametrize(("mechanism", "lines"), [("PLAIN", ["*"]), ("LOGIN", [b64("joe"), "*"])])
async def test_a_star_cancels(mechanism: str, lines: list[str]) -> None:
    _, answer = client(*lines)
    with pytest.raises(Cancelled):
        await credentials(mechanism, None, answer)


async def test_other_mechanisms_are_unknown() -> None:
    challenges, answer = client()
    with pytest.raises(UnknownMechanism):
        await credentials("CRAM-MD5", None, answer)
    assert challenges == []
