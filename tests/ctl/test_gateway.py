"""The gateway in front of five processes: metrics joined, requests passed on, health told truly."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ctl.gateway import create_gateway, joined
from ctl.services import SERVICES
from tubepost.admin import MOST_BODY


def text_of(requests: int, user: str = "plain") -> str:
    """What one service shows."""
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ["user"], registry=registry).labels(user).inc(requests)
    Gauge("depth", 'Its "depth" \\ two\nlines.', registry=registry).set(2.5)
    Histogram("seconds", "Time.", buckets=(1, 5), registry=registry).observe(3)
    return generate_latest(registry).decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_each_sample_keeps_its_value_and_gets_its_service() -> None:
    found = samples(joined({"smtpd": text_of(3), "remote": text_of(4)}))
    for service, count in (("smtpd", 3), ("remote", 4)):
        label = ("service", service)
        assert found["requests_total", (label, ("user", "plain"))] == count
        assert found["depth", (label,)] == 2.5
        assert found["seconds_bucket", (("le", "1.0"), label)] == 0
        assert found["seconds_bucket", (("le", "5.0"), label)] == 1
        assert found["seconds_sum", (label,)] == 3
    assert len(found) == 2 * 7


def test_a_family_is_declared_once() -> None:
    text = joined({"smtpd": text_of(1), "remote": text_of(1)})
    types = [line for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    wanted = {"requests": "counter", "depth": "gauge", "seconds": "histogram"}
    assert wanted.items() <= kinds.items()


def test_label_values_come_through_unharmed() -> None:
    user = 'a"b\\c\nd'
    text = joined({"smtpd": text_of(1, user)})
    assert ("requests_total", (("service", "smtpd"), ("user", user))) in samples(text)


def test_help_comes_through_unharmed() -> None:
    text = joined({"smtpd": text_of(1)})
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert families["depth"].documentation == 'Its "depth" \\ two\nlines.'


def test_workers_of_a_service_are_told_apart() -> None:
    found = samples(joined({"smtpd-1": text_of(3), "smtpd-2": text_of(4), "remote": text_of(5)}))
    smtpd = ("service", "smtpd")
    assert found["depth", (smtpd, ("worker", "1"))] == 2.5
    assert found["requests_total", (smtpd, ("user", "plain"), ("worker", "2"))] == 4
    assert found["requests_total", (("service", "remote"), ("user", "plain"))] == 5


def test_without_services_there_are_no_metrics() -> None:
    assert joined({}).strip() == ""


class Behind(httpx.AsyncBaseTransport):
    """The services behind a gateway; the host of a URL is the service's name."""

    def __init__(self) -> None:
        self.up = set(SERVICES)
        self.reasons: dict[str, dict[str, str]] = {}
        self.asked: list[httpx.Request] = []

    def addresses(self) -> dict[str, str]:
        return {name: f"{name}:80" for name in SERVICES if name != "not-started"}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        if name not in self.up:
            raise httpx.ConnectError("connection refused", request=request)
        if request.url.path == "/readyz":
            reasons = self.reasons.get(name, {})
            return httpx.Response(503 if reasons else 200, json={"reasons": reasons})
        if request.url.path == "/metrics":
            return httpx.Response(200, text=f'# TYPE up gauge\nup{{name="{name}"}} 1\n')
        self.asked.append(request)
        said = {"service": name, "body": (await request.aread()).decode()}
        headers = {"X-Kept": "yes", "Content-Type": "application/json"}
        stream = httpx.ByteStream(json.dumps(said).encode())  # as from a socket: to be read once
        return httpx.Response(207, stream=stream, headers=headers)


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
async def gateway(behind: Behind) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway."""
    async with httpx.AsyncClient(transport=behind) as client:
        app = create_gateway(behind.addresses, client, "fsync")
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as outside:
            yield outside


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("queue/counts", "scheduler"),
        ("domains", "popauth"),
        ("accounts", "popauth"),
        ("accounts%3Abulk", "popauth"),
        ("addresses", "popauth"),
        ("aliases", "popauth"),
        ("history", "popauth"),
        ("lists", "popauth"),
        ("quota/example.org", "popauth"),
        ("resolve/joe%40example.org", "popauth"),
        ("self/password", "popauth"),
        ("tokens/7f", "popauth"),
        ("relay", "popauth"),
        ("control/me", "popauth"),
        ("messages", "smtpd"),
        ("smtp/check", "smtpd"),
        ("smtp/rates", "smtpd"),
    ],
)
async def test_a_resource_is_its_owner_s(
    gateway: httpx.AsyncClient, path: str, service: str
) -> None:
    answer = await gateway.get(f"/v1/{path}")
    assert (answer.status_code, answer.json()["service"]) == (207, service)
    assert answer.headers["X-Kept"] == "yes"


async def test_a_request_comes_through_as_it_was(
    gateway: httpx.AsyncClient, behind: Behind
) -> None:
    path = "/v1/accounts/a%2Fb%40example.org/password?x=%26&y=a+b"
    headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
    answer = await gateway.put(path, content=json.dumps({"password": "é"}), headers=headers)
    [asked] = behind.asked
    assert (asked.method, asked.url.raw_path.decode()) == ("PUT", path)
    assert asked.headers["Authorization"] == "Bearer token"
    assert json.loads(answer.json()["body"]) == {"password": "é"}


async def test_a_change_of_a_part_comes_through(gateway: httpx.AsyncClient, behind: Behind) -> None:
    answer = await gateway.patch("/v1/accounts/ann@example.org", json={"smtp": False})
    assert json.loads(answer.json()["body"]) == {"smtp": False}
    assert [asked.method for asked in behind.asked] == ["PATCH"]


async def test_a_stranger_cannot_fill_the_memory(gateway: httpx.AsyncClient) -> None:
    """Whose token it is only the service knows."""
    answer = await gateway.put("/v1/self/password", content=b" " * (MOST_BODY + 1))
    assert answer.status_code == 413


async def test_a_mail_is_not_held_in_memory(gateway: httpx.AsyncClient, behind: Behind) -> None:
    """smtpd reads it once it has seen a token."""
    behind.up.remove("smtpd")

    async def blocks() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    assert (await gateway.post("/v1/messages", content=blocks())).status_code == 503


async def test_an_unknown_resource_is_a_problem_document(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/v1/nothing/here")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "there is no resource /v1/nothing/here"


async def test_a_service_that_is_away_is_503(gateway: httpx.AsyncClient, behind: Behind) -> None:
    behind.up.remove("scheduler")
    answer = await gateway.get("/v1/queue")
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["detail"]


async def test_ready_is_every_service_ready(gateway: httpx.AsyncClient, behind: Behind) -> None:
    answer = await gateway.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "durability": "fsync", "reasons": {}},
    )
    behind.reasons["smtpd"] = {"smtpd: bus": "no connection to the bus"}
    behind.up.remove("remote")
    answer = await gateway.get("/readyz")
    wanted = {"smtpd: bus": "no connection to the bus", "remote": "does not answer"}
    assert (answer.status_code, answer.json()["reasons"]) == (503, wanted)


async def test_metrics_are_those_of_whoever_answers(
    gateway: httpx.AsyncClient, behind: Behind
) -> None:
    behind.up.remove("remote")
    found = samples((await gateway.get("/metrics")).text)
    services = {dict(labels)["service"] for _, labels in found}
    assert services == set(SERVICES) - {"remote"}


async def test_several_workers_are_asked_and_passed_on_to(behind: Behind) -> None:
    """Ready is every one of them; a resource of the service is the first's, once it has started."""
    workers = {"smtpd-1": "smtpd-1:80", "smtpd-2": "smtpd-2:80"}
    behind.up = set(workers)
    behind.reasons["smtpd-2"] = {"smtpd: bus": "no connection to the bus"}
    async with httpx.AsyncClient(transport=behind) as client:
        app = create_gateway(lambda: workers, client, "fsync", tuple(workers))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as outside:
            reasons = (await outside.get("/readyz")).json()["reasons"]
            assert reasons == {"smtpd-2: smtpd: bus": "no connection to the bus"}
            assert (await outside.post("/v1/messages")).json()["service"] == "smtpd-1"
            del workers["smtpd-1"]
            assert (await outside.post("/v1/messages")).json()["service"] == "smtpd-2"
            assert "smtpd-1" in (await outside.get("/readyz")).json()["reasons"]
            text = (await outside.get("/metrics")).text
            assert {dict(labels)["worker"] for _, labels in samples(text)} == {"2"}


async def test_the_gateway_itself_is_alive(gateway: httpx.AsyncClient, behind: Behind) -> None:
    behind.up.clear()
    assert (await gateway.get("/healthz")).status_code == 200
