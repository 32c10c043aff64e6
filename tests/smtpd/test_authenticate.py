"""AUTH PLAIN, LOGIN and CRAM-MD5, the exchange alone."""

from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.authenticate import Cancelled, Proof, UnknownMechanism, exchange
from tubepost.errors import BadInput

DIGEST = "b913a602c7eda7a495b4e6e7334d3890"  # of RFC 2195's example
Answer = Callable[[bytes], Awaitable[str]]


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def client(*lines: str) -> tuple[list[bytes], Answer]:
    """A client that answers with these lines; and what it was challenged with."""
    challenges: list[bytes] = []
    left = list(lines)

    async def answer(challenge: bytes) -> str:
        challenges.append(challenge)
        return left.pop(0)

    return challenges, answer


async def carried_out(mechanism: str, initial: str | None, answer: Answer) -> Proof:
    return await exchange(mechanism, initial, answer, lambda: "<1.2@mail.example>")


def password(user: str, password: str, acts_for: str = "") -> Proof:
    return Proof(user, {"password": password}, acts_for)


async def test_plain_with_initial_response() -> None:
    challenges, answer = client()
    found = await carried_out("plain", b64("\0joe\0secret word"), answer)
    assert found == password("joe", "secret word")
    assert challenges == []


async def test_plain_after_an_empty_challenge() -> None:
    challenges, answer = client(b64("\0joe@example.org\0pässword"))
    assert await carried_out("plain", None, answer) == password("joe@example.org", "pässword")
    assert challenges == [b""]


@pytest.mark.parametrize(
    ("acts_for", "for_himself"),
    [("", True), ("joe", True), ("JOE", True), ("root", False), ("joe ", False)],
)
async def test_plain_names_whom_the_user_acts_for(acts_for: str, for_himself: bool) -> None:
    """RFC 4616 2: nobody may act for another here."""
    _, answer = client()
    found = await carried_out("plain", b64(f"{acts_for}\0joe\0x"), answer)
    assert found == password("joe", "x", acts_for)
    assert found.for_himself == for_himself


async def test_login_asks_for_both() -> None:
    challenges, answer = client(b64("joe"), b64("secret"))
    assert await carried_out("login", None, answer) == password("joe", "secret")
    assert challenges == [b"Username:", b"Password:"]


async def test_login_with_the_name_at_once() -> None:
    challenges, answer = client(b64("secret"))
    assert await carried_out("login", b64("joe"), answer) == password("joe", "secret")
    assert challenges == [b"Password:"]


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("joe", ""), ("j\0e", "x"), ("j", "\0")])
async def test_login_wants_a_name_and_a_password(user: str, password: str) -> None:
    _, answer = client(b64(password) or "=")
    with pytest.raises(BadInput, match="malformed"):
        await carried_out("login", b64(user) or "=", answer)


@pytest.mark.parametrize("user", ["joe", "joe@example.org", "two words"])
async def test_cram_md5_begins_with_the_server(user: str) -> None:
    challenges, answer = client(b64(f"{user} {DIGEST}"))
    found = await carried_out("cram-md5", None, answer)
    assert found == Proof(user, {"challenge": "<1.2@mail.example>", "digest": DIGEST})
    assert challenges == [b"<1.2@mail.example>"]


@pytest.mark.parametrize(
    "answered", ["", "joe", DIGEST, f" {DIGEST}", f"joe {DIGEST}0", "joe " + "g" * 32, "joe ä" * 9]
)
async def test_malformed_cram_md5(answered: str) -> None:
    _, answer = client(b64(answered))
    with pytest.raises(BadInput):
        await carried_out("cram-md5", None, answer)


async def test_cram_md5_takes_no_initial_response() -> None:
    """RFC 4954 4: the mechanism begins with the server."""
    challenges, answer = client()
    with pytest.raises(BadInput, match="begins"):
        await carried_out("cram-md5", b64(f"joe {DIGEST}"), answer)
    assert challenges == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "=",
        "====",
        "not base64!",
        b64("joe"),
        b64("joe\0secret"),
        b64("\0joe\0secret\0more"),
        b64("\0\0secret"),
        b64("\0joe\0"),
        b64encode(b"\0j\xff\0x").decode(),
        "AGpvZQBzZWNyZXQ",  # padding missing
    ],
)
async def test_malformed_plain(line: str) -> None:
    _, answer = client()
    with pytest.raises(BadInput, match="malformed"):
        await carried_out("plain", line, answer)


@given(
    mechanism=st.sampled_from(["plain", "login", "cram-md5"]),
    lines=st.lists(
        st.one_of(st.text(max_size=40), st.binary(max_size=40).map(lambda b: b64encode(b).decode()))
    ),
)
async def test_whatever_comes_is_a_proof_or_bad_input(mechanism: str, lines: list[str]) -> None:
    _, answer = client(*lines, "*", "*")
    try:
        found = await carried_out(mechanism, None, answer)
    except BadInput:
        return
    assert found.user
    assert all(found.shown.values())


async def test_octets_that_are_not_ascii_are_malformed() -> None:
    _, answer = client("\ufffd")
    with pytest.raises(BadInput, match="malformed"):
        await carried_out("plain", None, answer)


@pytest.mark.parametrize(
    ("mechanism", "lines"), [("plain", ["*"]), ("login", [b64("joe"), "*"]), ("cram-md5", ["*"])]
)
async def test_a_star_cancels(mechanism: str, lines: list[str]) -> None:
    _, answer = client(*lines)
    with pytest.raises(Cancelled):
        await carried_out(mechanism, None, answer)


async def test_other_mechanisms_are_unknown() -> None:
    challenges, answer = client()
    with pytest.raises(UnknownMechanism):
        await carried_out("digest-md5", None, answer)
    assert challenges == []


def test_a_proof_shows_no_password() -> None:
    """It may stand in a traceback."""
    assert "secret" not in repr(password("joe", "secret"))
