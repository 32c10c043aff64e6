"""popauth's resources under /v1, and the whole of popauth once: a login opens the relay."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.popauth.api import router
from services.popauth.app import serve
from services.popauth.settings import Settings
from tests.nats_server import NatsServer
from tests.popauth.directory import PATIENCE, Office
from tubepost import control_values, smtp_values, subjects
from tubepost.address import parse_address
from tubepost.admin import Health, create_app
from tubepost.nats_bus import NatsBus
from tubepost.relay_list import RelayList
from tubepost.runtime import Context

TOKEN = {"Authorization": "Bearer secret"}
ANN = {"address": "ann@example.net", "password": "correct horse"}
NOW = 1_700_000_000.0


@pytest.fixture
async def http(real: Office) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Health(), "secret")
    relay_list = RelayList(real.bus, lambda: NOW)
    app.include_router(router(real.desk, relay_list))
    async with client_of(app) as client:
        yield client


async def test_a_quota_is_set_shown_and_outlives_a_new_password(
    http: httpx.AsyncClient, real: Office
) -> None:
    await http.post("/v1/domains", json={"name": "example.net"})
    await http.post("/v1/accounts", json=ANN)
    place = "/v1/accounts/ann@example.net/quota"
    assert (await http.get(place)).json() == {"quota": "NOQUOTA"}
    answer = await http.put(place, json={"quota": "10M"})
    assert (answer.status_code, answer.json()) == (200, {"quota": "10485760S"})
    password = {"password": "another horse"}
    assert (
        await http.put("/v1/accounts/ann@example.net/password", json=password)
    ).status_code == 204
    assert (await http.get(place)).json() == {"quota": "10485760S"}
    account = await real.directory.account(parse_address("ann@example.net"))
    assert account
    assert account.quota.octets == 10_485_760
    assert "is not a quota" in is_problem(await http.put(place, json={"quota": "many"}), 400)
    assert (await http.put(place, json={"quota": "NOQUOTA"})).json() == {"quota": "NOQUOTA"}
    assert "no account" in is_problem(await http.get("/v1/accounts/x@example.net/quota"), 404)


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://popauth", headers=TOKEN
    )


def is_problem(answer: httpx.Response, status: int) -> str:
    """Holds the answer to RFC 9457; its detail."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"]) == ("about:blank", status)
    detail: str = body["detail"]
    return detail


async def test_domains(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/domains", json={"name": "Example.net"})
    assert (answer.status_code, answer.json()) == (201, {"name": "example.net"})
    assert "there already" in is_problem(
        await http.post("/v1/domains", json={"name": "example.net"}), 409
    )
    assert "mail domain" in is_problem(
        await http.post("/v1/domains", json={"name": "localhost"}), 400
    )
    assert is_problem(await http.post("/v1/domains", json={}), 400) == "body.name: Field required"
    assert (await http.get("/v1/domains")).json() == ["example.net"]
    assert (await http.delete("/v1/domains/example.net")).status_code == 204
    assert "there is no domain" in is_problem(await http.delete("/v1/domains/example.net"), 404)
    assert (await http.get("/v1/domains")).json() == []


async def test_accounts(http: httpx.AsyncClient) -> None:
    assert "there is no domain" in is_problem(await http.post("/v1/accounts", json=ANN), 404)
    for domain in ("example.net", "a.example.net"):
        await http.post("/v1/domains", json={"name": domain})
    answer = await http.post("/v1/accounts", json=ANN)
    assert (answer.status_code, answer.json()) == (201, {"address": "ann@example.net"})
    is_problem(await http.post("/v1/accounts", json=ANN), 409)
    weak = ANN | {"address": "bob@example.net", "password": "short"}
    assert "8 to 255" in is_problem(await http.post("/v1/accounts", json=weak), 400)
    await http.post("/v1/accounts", json=ANN | {"address": "bob@a.example.net"})

    every = ["bob@a.example.net", "ann@example.net"]
    assert (await http.get("/v1/accounts")).json() == every, "by domains, then by names"
    assert (await http.get("/v1/accounts", params={"domain": "Example.net"})).json() == every[1:]
    assert "has 1 accounts" in is_problem(await http.delete("/v1/domains/example.net"), 409)

    assert (await http.delete("/v1/accounts/ann@example.net")).status_code == 204
    is_problem(await http.delete("/v1/accounts/ann@example.net"), 404)
    is_problem(await http.delete("/v1/accounts/ann"), 400)


async def test_passwords(http: httpx.AsyncClient, real: Office) -> None:
    await http.post("/v1/domains", json={"name": "example.net"})
    await http.post("/v1/accounts", json=ANN)
    where, new = "/v1/accounts/ann@example.net/password", {"password": "staple battery"}
    assert (await http.put(where, json=new)).status_code == 204
    account = await real.directory.account(parse_address("ann@example.net"))
    assert account
    assert await real.passwords.check(account.password, "staple battery")
    is_problem(await http.put(where, json={"password": "short"}), 400)
    is_problem(await http.put("/v1/accounts/bob@example.net/password", json=new), 404)


async def test_a_reversible_password_is_not_shown(http: httpx.AsyncClient, real: Office) -> None:
    await http.post("/v1/domains", json={"name": "example.net"})
    await http.post("/v1/accounts", json=ANN)
    new = {"password": "staple battery", "reversible": True}
    answer = await http.put("/v1/accounts/ann@example.net/password", json=new)
    assert (answer.status_code, answer.text) == (204, "")
    assert await real.bus.count("KV_secrets") == 1


async def test_what_an_account_may_do(http: httpx.AsyncClient) -> None:
    await http.post("/v1/domains", json={"name": "example.net"})
    await http.post("/v1/accounts", json=ANN)
    where = "/v1/accounts/ann@example.net"

    async def flags(**rights: Any) -> Any:
        return (await http.patch(where, json=rights)).json()

    assert (await flags(smtp=False))["flags"] == ["no_smtp"]
    assert (await flags(relay=False))["flags"] == ["no_relay", "no_smtp"]
    assert (await flags(smtp=True))["flags"] == ["no_relay"]
    assert (await flags())["flags"] == ["no_relay"]
    is_problem(await http.patch(where, json={"smtp": "perhaps"}), 400)
    is_problem(await http.patch("/v1/accounts/bob@example.net", json={"smtp": True}), 404)


async def test_no_answer_has_a_hash_or_a_password(http: httpx.AsyncClient) -> None:
    await http.post("/v1/domains", json={"name": "example.net"})
    shown = (await http.post("/v1/accounts", json=ANN)).text
    shown += (await http.get("/v1/accounts")).text
    shown += (await http.post("/v1/accounts", json=ANN)).text
    shown += (await http.post("/v1/accounts", json=ANN | {"password": "horse 7"})).text
    assert "horse" not in shown
    assert "argon2" not in shown


async def test_relay(http: httpx.AsyncClient, real: Office) -> None:
    assert (await http.get("/v1/relay")).json() == []
    for ip, at in (("8.8.4.4", NOW - 10), ("2600::1", NOW - 20), ("8.8.8.8", NOW - 700)):
        await RelayList(real.bus, lambda at=at: at).add(  # type: ignore[misc]
            ip, user="ann@example.net", window=600, by="popauth-1"
        )
    entries = (await http.get("/v1/relay")).json()
    assert [entry["ip"] for entry in entries] == ["2600::1", "8.8.4.4"]
    assert entries[1] == {
        "ip": "8.8.4.4",
        "user": "ann@example.net",
        "at": NOW - 10,
        "until": NOW + 590,
        "by": "popauth-1",
        "users": {"ann@example.net": NOW - 10},
        "warned": 0.0,
    }


async def test_control(http: httpx.AsyncClient, real: Office) -> None:
    answer = await http.put("/v1/control/databytes", json={"lines": ["1000"]})
    assert (answer.status_code, answer.json()["lines"]) == (200, ["1000"])
    assert real.control.get(smtp_values.DATABYTES) == 1000

    bad = await http.put("/v1/control/databytes", json={"lines": ["lots"]})
    assert "the old value is kept" in is_problem(bad, 400)
    assert (await http.get("/v1/control/databytes")).json()["lines"] == ["1000"]

    await http.put("/v1/control/databytes", json={"lines": []})
    assert (await http.get("/v1/control/databytes")).json()["lines"] is None
    assert real.control.get(smtp_values.DATABYTES) == smtp_values.DATABYTES.default

    shown = (await http.get("/v1/control")).json()
    assert [setting["name"] for setting in shown] == sorted(control_values.SETTINGS)
    assert all(setting["help"] for setting in shown)
    for refused in (
        await http.get("/v1/control/frob"),
        await http.put("/v1/control/frob", json={"lines": ["1"]}),
    ):
        assert "there is no control setting" in is_problem(refused, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/domains"),
        ("POST", "/v1/domains"),
        ("DELETE", "/v1/domains/example.net"),
        ("GET", "/v1/accounts"),
        ("POST", "/v1/accounts"),
        ("PUT", "/v1/accounts/ann@example.net/password"),
        ("GET", "/v1/accounts/ann@example.net/quota"),
        ("PUT", "/v1/accounts/ann@example.net/quota"),
        ("DELETE", "/v1/accounts/ann@example.net"),
        ("GET", "/v1/relay"),
        ("GET", "/v1/control"),
        ("GET", "/v1/control/me"),
        ("PUT", "/v1/control/me"),
    ],
)
async def test_every_resource_wants_the_token(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    is_problem(await http.request(method, path, headers={"Authorization": "Bearer other"}), 401)


async def test_a_bus_that_is_away_is_503(
    http: httpx.AsyncClient, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NatsBus._call, "__kwdefaults__", {"seconds": 0.3})
    nats_server.kill()
    is_problem(await http.post("/v1/domains", json={"name": "example.net"}), 503)


@pytest.fixture
async def popauth(bus: NatsBus, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Context]:
    """services/popauth/app.py as a process runs it, in this loop."""
    settings = Settings(
        nats_url=nats_server.url,
        hostname="mail.example",
        pop3="127.0.0.1:0",
        mail_root=tmp_path,
        hash_threads=1,
    )
    health = Health()
    context = Context("popauth", create_app(health, "secret"), health, asyncio.Event())
    service = asyncio.create_task(serve(settings, context))
    await asyncio.wait_for(context.is_ready.wait(), PATIENCE)
    yield context
    context.stopping.set()
    await asyncio.wait_for(service, PATIENCE)


async def test_a_pop3_login_opens_the_relay(popauth: Context, bus: NatsBus) -> None:
    """POP-before-SMTP from end to end, as smtpd sees it: listed as soon as +OK is heard."""
    smtpds = RelayList(bus, time.time)
    async with client_of(popauth.app) as http:
        await http.put("/v1/control/relaynetworks", json={"lines": ["127.0.0.0/8"]})
        await http.post("/v1/domains", json={"name": "example.net"})
        assert (await http.post("/v1/accounts", json=ANN)).status_code == 201
        assert await pop3(popauth, "wrong horse") == "-ERR [AUTH] authorization failed"
        assert await smtpds.lookup("127.0.0.9") is None
        assert (await pop3(popauth, ANN["password"])).startswith("+OK 0 ")
        entry = await smtpds.lookup("127.0.0.9")
        assert entry is not None
        assert (entry.user, entry.until - entry.at) == ("ann@example.net", 10_800)
        assert await smtpds.lookup("127.0.0.1") is None
        assert [e["ip"] for e in (await http.get("/v1/relay")).json()] == ["127.0.0.9"]
        assert (await http.get("/readyz")).json()["ready"] is True


async def test_it_says_that_it_is_there(popauth: Context, bus: NatsBus) -> None:
    """smtpd's readiness hangs on it."""
    assert popauth.is_ready.is_set()
    assert await bus.ask(subjects.AUTH_HERE, b"") == b"here"


async def pop3(popauth: Context, password: str) -> str:
    """Logs ann in from 127.0.0.9; the reply to PASS."""
    host, _, port = popauth.addresses["pop3"].rpartition(":")
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.9", 0))
        assert (await reader.readline()).startswith(b"+OK Tubepost ")
        writer.write(f"USER ann@example.net\r\nPASS {password}\r\n".encode())
        assert await reader.readline() == b"+OK\r\n"
        reply = (await reader.readline()).decode().rstrip()
        writer.close()
        await writer.wait_closed()
    return reply
