"""POST /v1/messages: a mail over HTTP lies in the queue as one over SMTP does."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.smtpd.api import router, wire_form
from tests.smtpd.running import Smtpd
from tubepost.admin import Health, create_app
from tubepost.errors import BadInput

TOKEN = {"Authorization": "Bearer secret"}
TO_ANN = {"sender": "joe@example.org", "recipient": "ann@example.net"}


@pytest.fixture
async def http(smtpd: Smtpd) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Health(), "secret")
    app.include_router(router(smtpd.intake, smtpd.control))
    transport = httpx.ASGITransport(app=app, client=("192.0.2.9", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://smtpd") as client:
        yield client


@pytest.mark.parametrize(
    "content",
    [b"Subject: x\n\nh\xe9llo\n.\n", b"Subject: x\r\n\r\nh\xe9llo\r\n.\r\n"],
    ids=["LF", "CRLF"],
)
async def test_a_file_is_queued_with_crlf(
    smtpd: Smtpd, http: httpx.AsyncClient, content: bytes
) -> None:
    answer = await http.post("/v1/messages", params=TO_ANN, content=content, headers=TOKEN)
    assert answer.status_code == 202
    record, field, body = await smtpd.only_mail()
    assert body == b"Subject: x\r\n\r\nh\xe9llo\r\n.\r\n"
    assert b"(admin@192.0.2.9)\r\n" in field
    assert f" with HTTP id {answer.json()['id']};".encode() in field
    assert record.sender == "joe@example.org"
    assert record.waiting == ("ann@example.net",)


async def test_null_sender_and_several_recipients(smtpd: Smtpd, http: httpx.AsyncClient) -> None:
    params: dict[str, Any] = {"sender": "", "recipient": ["ann@example.net", "b@example.net"]}
    answer = await http.post("/v1/messages", params=params, content=b"hi\n", headers=TOKEN)
    assert answer.status_code == 202
    record, _, _ = await smtpd.only_mail()
    assert (record.sender, record.waiting) == ("", ("ann@example.net", "b@example.net"))


@pytest.mark.parametrize(
    ("params", "content", "detail"),
    [
        (TO_ANN, b"a\rb\n", "the mail has a CR that ends no line"),
        (TO_ANN, b"", "the mail is empty"),
        (TO_ANN | {"sender": "joe"}, b"hi\n", "'joe' has no @; write user@domain"),
        (TO_ANN | {"recipient": "a@b@c"}, b"hi\n", "'a@b' is not the left side of an address"),
        ({"recipient": "ann@example.net"}, b"hi\n", "query.sender: Field required"),
        ({"sender": "joe@example.org"}, b"hi\n", "query.recipient: Field required"),
        (TO_ANN | {"ret": "all"}, b"hi\n", "RET is FULL or HDRS"),
        (TO_ANN, b"x" * 101, "the mail has 101 octets, databytes allows 100"),
    ],
)
async def test_bad_input_is_a_problem(
    smtpd: Smtpd, http: httpx.AsyncClient, params: dict[str, str], content: bytes, detail: str
) -> None:
    await smtpd.set(databytes="100")
    answer = await http.post("/v1/messages", params=params, content=content, headers=TOKEN)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", "status": 400, "detail": detail}
    assert await smtpd.mails() == []


async def test_what_the_sender_wants_to_be_told(smtpd: Smtpd, http: httpx.AsyncClient) -> None:
    wishes = {"notify": "success,failure", "ret": "hdrs", "envid": "order 1+2=3"}
    answer = await http.post("/v1/messages", params=TO_ANN | wishes, content=b"hi\n", headers=TOKEN)
    assert answer.status_code == 202
    record, _, _ = await smtpd.only_mail()
    assert (record.ret, record.envid) == ("HDRS", "order+201+2B2+3D3")
    assert [(r.notify, r.orcpt) for r in record.recipients] == [("SUCCESS,FAILURE", "")]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": ""}])
async def test_without_the_token_nothing(
    smtpd: Smtpd, http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.post("/v1/messages", params=TO_ANN, content=b"hi\n", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert await smtpd.mails() == []


async def test_a_full_store_is_507(smtpd: Smtpd, http: httpx.AsyncClient) -> None:
    smtpd.intake.store_usage = 0.95
    answer = await http.post("/v1/messages", params=TO_ANN, content=b"hi\n", headers=TOKEN)
    assert answer.status_code == 507


@pytest.mark.parametrize(
    ("file", "wire"),
    [
        (b"a\n", b"a\r\n"),
        (b"a\r\nb\n", b"a\r\nb\r\n"),
        (b"\n\n", b"\r\n\r\n"),
        (b"no end", b"no end"),
        (b"\x00\xff.\n", b"\x00\xff.\r\n"),
    ],
)
def test_wire_form(file: bytes, wire: bytes) -> None:
    assert wire_form(file) == wire


@pytest.mark.parametrize("file", [b"", b"\r", b"a\r", b"a\r\r\n", b"\ra\n"])
def test_no_wire_form(file: bytes) -> None:
    with pytest.raises(BadInput):
        wire_form(file)


async def test_what_is_taken_is_told(smtpd: Smtpd, http: httpx.AsyncClient) -> None:
    to = [f"ann{n}@example.net" for n in range(25)]
    params: dict[str, Any] = {"sender": "joe@example.org", "recipient": to}
    answer = await http.post("/v1/messages", params=params, content=b"hi\n", headers=TOKEN)
    record, _, _ = await smtpd.only_mail()
    [event] = smtpd.told.events
    assert event == {
        "event": "accepted",
        "mail": answer.json()["id"],
        "at": record.created,
        "sender": "joe@example.org",
        "recipients": tuple(to[:20]),
        "count": 25,
        "size": record.size,
        "source": "http",
        "client": "192.0.2.9",
        "helo": "",
        "user": "admin",
        "bounce_of": "",
        "forward_of": "",
    }
