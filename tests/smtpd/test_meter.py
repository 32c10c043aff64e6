"""Who is counted as whom, who is not counted, and what an operator sees of it."""

from typing import Any, TypeVar, cast

import httpx
import pytest

from services.smtpd import rates_api
from services.smtpd.facts import NO_USE, Client, RcptFacts, Use
from services.smtpd.meter import Meter, unmetered
from services.smtpd.rates import Rates
from services.smtpd.refusal import Refusal
from tests.fakes import FakeClock
from tubepost.admin import Health, create_app
from tubepost.rate_limits import KINDS, parse
from tubepost.setting import Setting
from tubepost.tcprules import Rule

RELAYS = Rule(variables={"RELAYCLIENT": ""})
OFF = Rule(variables={"SMTPRATES": "off"})
PLAIN = Client("192.0.2.1")
USER = Client("192.0.2.1", user="ann@example.net")


T = TypeVar("T")


class Given:
    """Settings as a dictionary; all others have their defaults."""

    def __init__(self, **values: object) -> None:
        self.values = values

    def get(self, setting: Setting[T]) -> T:
        return cast(T, self.values.get(setting.name, setting.default))


def metered(**settings: object) -> Meter:
    """With a limit of 10 an hour for every kind, unless told otherwise."""
    limits = parse(f"{kind}:10/h" for kind in KINDS)
    return Meter(Rates("a"), Given(**{"smtprates": limits, **settings}), FakeClock())


@pytest.mark.parametrize(
    ("client", "not_counted"),
    [
        (PLAIN, {"submitted"}),
        (USER, {"mails"}),
        (Client("192.0.2.1", RELAYS), set(KINDS)),
        (
            Client("192.0.2.1", RELAYS, user="ann@example.net"),
            set(KINDS) - {"submitted", "recipients"},
        ),
        (Client("192.0.2.1", OFF, user="ann@example.net"), set(KINDS)),
    ],
    ids=["stranger", "user", "relay client", "user at a relay client", "rates off"],
)
def test_who_is_counted_for_what(client: Client, not_counted: set[str]) -> None:
    meter = metered()
    for kind in KINDS:
        meter.count(kind, client)
        assert meter.use(kind, client) == (NO_USE if kind in not_counted else Use(1, 10))


def test_a_user_is_counted_by_name_wherever_it_comes_from() -> None:
    meter = metered()
    meter.count("submitted", USER)
    assert meter.use("submitted", Client("2001:db8::1", user=USER.user)) == Use(1, 10)
    assert meter.use("submitted", Client(USER.ip, user="bob@example.net")) == Use(0, 10)


def test_addresses_of_one_64_are_one_client() -> None:
    meter = metered(concurrencyclient=5)
    meter.enter(Client("2001:db8:1:2::1"))
    assert meter.load("2001:db8:1:2:ffff::9", Rule())[1:3] == (Use(1, 5), Use(1, 10))
    assert meter.load("2001:db8:1:3::1", Rule())[1:3] == (Use(0, 5), Use(0, 10))
    meter.leave(Client("2001:db8:1:2::1"))
    assert meter.load("2001:db8:1:2::1", Rule()).own_sessions == Use(0, 5)


def test_without_a_rate_nothing_is_counted() -> None:
    meter = unmetered()
    meter.enter(PLAIN)
    meter.mail_began(PLAIN)
    meter.recipient_judged(RcptFacts(client=PLAIN, sender=""), None)
    for kind in KINDS:
        meter.count(kind, PLAIN)
        assert meter.use(kind, PLAIN) == NO_USE
    assert len(meter.rates) == 0
    assert list(meter.rates.changed()) == []


@pytest.mark.parametrize(
    ("changes", "verdict", "counted"),
    [
        ({}, "", {"recipients"}),
        ({"relay_user": "u@example.net"}, "", {"recipients", "relayed"}),
        ({"relay_user": "u@example.net", "relaying": True}, "", {"recipients"}),
        ({}, "mailbox", {"badrcpt"}),
        ({}, "rcpthosts", set()),
    ],
)
def test_what_a_recipient_counts_for(
    changes: dict[str, Any], verdict: str, counted: set[str]
) -> None:
    meter = metered()
    refusal = Refusal(verdict, "550 no") if verdict else None
    meter.recipient_judged(RcptFacts(client=PLAIN, sender="", **changes), refusal)
    assert {kind for kind in KINDS if meter.use(kind, PLAIN).used} == counted


async def test_an_operator_sees_who_is_near_a_limit() -> None:
    meter = metered()
    for _ in range(4):
        meter.count("errors", PLAIN)
    meter.count("submitted", USER)
    app = create_app(Health(), "secret")
    app.include_router(rates_api.router(meter))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://smtpd") as client:
        assert (await client.get("/v1/smtp/rates")).status_code == 401
        answer = await client.get("/v1/smtp/rates", headers={"Authorization": "Bearer secret"})
    assert answer.json() == [
        {"kind": "errors", "who": "192.0.2.1", "count": 4, "limit": 10, "seconds": 3600},
        {"kind": "submitted", "who": USER.user, "count": 1, "limit": 10, "seconds": 3600},
    ]
