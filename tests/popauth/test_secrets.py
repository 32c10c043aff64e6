"""Readable passwords for CRAM-MD5: kept for who asked for it, and no longer than their password."""

import hmac
import json

import pytest

from services.popauth.secrets import Secrets
from tests.fakes import MemoryBus
from tests.popauth.directory import Office
from tests.popauth.test_logins import CLIENT, logins
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory_values import Account, account_key
from tubepost.errors import Unavailable
from tubepost.nats_bus import NatsBus

ANN = "ann@example.net"
CHALLENGE = "<1896.697170952@postoffice.reston.mci.net>"


def digest(password: str) -> str:
    return hmac.new(password.encode(), CHALLENGE.encode(), "md5").hexdigest()


async def result(office: Office, user: str, digest: str) -> str:
    """What auth.check says."""
    question = {"user": user, "challenge": CHALLENGE, "digest": digest, "client": CLIENT}
    answer = await logins(office, office.bus).check("auth.check", json.dumps(question).encode())
    found: str = json.loads(answer)["result"]
    return found


async def kept(office: Office) -> bytes:
    stream = subjects.bucket_stream(subjects.SECRETS)
    key = subjects.bucket_key(subjects.SECRETS, account_key(parse_address(ANN)))
    stored = await office.bus.read(stream, key, leader=True)
    return stored.data if stored else b""


@pytest.fixture
async def some(real: Office) -> Office:
    """ann has a reversible password, bob a plain one."""
    await real.accounts.add_domain("example.net")
    for name in (ANN, "bob@example.net"):
        await real.accounts.add_account(name, "correct horse")
    await real.accounts.set_password(ANN, "tanstaaftanstaaf", reversible=True)
    return real


async def test_the_example_of_rfc_2195(some: Office) -> None:
    assert await result(some, ANN, "b913a602c7eda7a495b4e6e7334d3890") == "accepted"
    assert await result(some, "Ann@EXAMPLE.net", digest("tanstaaftanstaaf").upper()) == "accepted"


@pytest.mark.parametrize(
    ("user", "digest"),
    [
        (ANN, digest("correct horse")),
        (ANN, digest("")),
        (ANN, ""),
        (ANN, "ä"),
        ("bob@example.net", digest("correct horse")),
        ("bob@example.net", digest("")),
        ("carl@example.net", digest("")),
        ("no address", digest("")),
    ],
)
async def test_who_is_refused(some: Office, user: str, digest: str) -> None:
    """Whatever is wrong, the answer is the same."""
    assert await result(some, user, digest) == "refused"


async def test_a_plain_password_ends_the_secret(some: Office) -> None:
    assert b"tanstaaftanstaaf" in await kept(some)
    await some.accounts.set_password(ANN, "tanstaaftanstaaf")
    assert await kept(some) == b""
    assert await result(some, ANN, digest("tanstaaftanstaaf")) == "refused"


async def test_a_removed_account_leaves_no_secret(some: Office) -> None:
    await some.accounts.remove_account(ANN)
    assert await kept(some) == b""
    assert await result(some, ANN, digest("tanstaaftanstaaf")) == "refused"


async def test_a_secret_holds_only_beside_its_own_hash(some: Office) -> None:
    """The bus went away between the two writes of a change: the old password is over, too."""
    before = await some.directory.account(parse_address(ANN))
    assert before is not None
    await some.accounts.set_password(ANN, "staple battery")
    await Secrets(some.bus).keep(before, "tanstaaftanstaaf")
    assert await result(some, ANN, digest("tanstaaftanstaaf")) == "refused"


async def test_the_directory_has_no_secret(some: Office) -> None:
    """smtpd, local and the scheduler have it in memory."""
    account = await some.directory.account(parse_address(ANN))
    assert account is not None
    assert "tanstaaftanstaaf" not in str(some.directory.mirror.values)
    assert account.password.startswith("$argon2id$")


async def test_without_the_bus_it_cannot_be_told(in_memory: Office, memory_bus: MemoryBus) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await Secrets(memory_bus).proves(Account(ANN, "h", "x"), ANN, CHALLENGE, digest("x"))
    assert await result(in_memory, ANN, digest("x")) == "unavailable"


async def test_nothing_is_kept_for_who_did_not_ask(real: Office, bus: NatsBus) -> None:
    await real.accounts.add_domain("example.net")
    await real.accounts.add_account(ANN, "correct horse")
    await real.accounts.set_password(ANN, "staple battery")
    assert await bus.count(subjects.bucket_stream(subjects.SECRETS)) == 0
