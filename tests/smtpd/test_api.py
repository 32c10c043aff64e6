"""POST /v1/messages: a mail over HTTP lies in the queue as one over SMTP does."""

import email
import email.policy
import string
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.api import router
from services.smtpd.composed import NewMail, composed
from tests.smtpd.running import Smtpd
from tubepost.address import Address
from tubepost.admin import Health, create_app
from tubepost.errors import BadInput
from tubepost.inject import Author, injected
from tubepost.mail_header import parts, unix_form

TOKEN = {"Authorization": "Bearer secret"}
TO_ANN = {"sender": "joe@example.org", "recipient": "ann@example.net"}


@pytest.fixture
async def http(smtpd: Smtpd) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Health(), "secret")
    app.include_router(router(smtpd.intake, smtpd.control, smtpd.directory))
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
    params: dict[str, Any] = {"sender": "", "recipient": ["ann@far.example", "b@far.example"]}
    answer = await http.post("/v1/messages", params=params, content=b"hi\n", headers=TOKEN)
    assert answer.status_code == 202
    record, _, _ = await smtpd.only_mail()
    assert (record.sender, record.waiting) == ("", ("ann@far.example", "b@far.example"))


@pytest.mark.parametrize(
    ("params", "content", "detail"),
    [
        (TO_ANN, b"a\rb\n", "the mail has a CR that ends no line"),
        (TO_ANN, b"", "the mail is empty"),
        (TO_ANN | {"sender": "joe"}, b"hi\n", "'joe' has no @; write user@domain"),
        (TO_ANN | {"recipient": "a@b@c"}, b"hi\n", "'a@b' is not the left side of an address"),
        (
            {"recipient": "ann@example.net"},
            b"hi\n",
            "query.sender: say who gets bounces; empty = nobody",
        ),
        (
            {"sender": "joe@example.org"},
            b"hi\n",
            "no recipients: give `recipient`, or `extract` with a header that names some",
        ),
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
async def test_line_ends_of_a_file(
    smtpd: Smtpd, http: httpx.AsyncClient, file: bytes, wire: bytes
) -> None:
    await http.post("/v1/messages", params=TO_ANN, content=file, headers=TOKEN)
    assert (await smtpd.only_mail())[2] == wire


@pytest.mark.parametrize("file", [b"", b"\r", b"a\r", b"a\r\r\n", b"\ra\n"])
def test_what_no_mail_can_be(file: bytes) -> None:
    with pytest.raises(BadInput):
        unix_form(file)


async def test_what_is_taken_is_told(smtpd: Smtpd, http: httpx.AsyncClient) -> None:
    to = [f"ann{n}@far.example" for n in range(25)]
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


async def test_an_unknown_mailbox_of_ours_is_named_and_nobody_gets_the_mail(
    smtpd: Smtpd, http: httpx.AsyncClient
) -> None:
    params = {"sender": "", "recipient": ["ann@example.net", "nobody@example.net"]}
    answer = await http.post("/v1/messages", params=params, content=b"hi\n", headers=TOKEN)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("nobody@example.net: Sorry, no mailbox here")
    assert await smtpd.mails() == []


async def test_extract_takes_the_recipients_from_the_header_and_completes_it(
    smtpd: Smtpd, http: httpx.AsyncClient
) -> None:
    text = b"To: Ann <ann@far.example>\nBcc: b@far.example,\n c@far.example\n\nhi\n"
    params = {"sender": "joe@example.org", "extract": "true", "recipient": "b@far.example"}
    answer = await http.post("/v1/messages", params=params, content=text, headers=TOKEN)
    assert answer.status_code == 202
    record, _, body = await smtpd.only_mail()
    assert record.waiting == ("b@far.example", "ann@far.example", "c@far.example")
    fields = body.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert [field.partition(b":")[0] for field in fields] == [
        b"Date",
        b"Message-ID",
        b"From",
        b"To",
    ]
    assert fields[2:] == [b"From: joe@example.org", b"To: Ann <ann@far.example>"]


NEW = {
    "from": "J\u00f6rg <joe@example.org>",
    "to": ["Ann <ann@far.example>"],
    "bcc": ["b@far.example"],
    "subject": "h\u00e9llo",
    "text": "Gr\u00fc\u00dfe\n",
    "attachments": [{"name": "a.bin", "content": "AAEC/w=="}],
}


async def test_a_mail_is_made_from_its_parts(smtpd: Smtpd, http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/messages", json=NEW, headers=TOKEN)
    assert answer.status_code == 202
    record, _, body = await smtpd.only_mail()
    assert (record.sender, record.waiting) == (
        "joe@example.org",
        ("ann@far.example", "b@far.example"),
    )
    mail = email.message_from_bytes(body, policy=email.policy.default)
    assert (mail["From"], mail["Subject"]) == ("J\u00f6rg <joe@example.org>", "h\u00e9llo")
    assert (mail["Bcc"], mail["To"]) == (None, "Ann <ann@far.example>")
    text, file = mail.iter_parts()
    assert text.get_content().replace("\r\n", "\n") == "Gr\u00fc\u00dfe\n"
    assert (file.get_filename(), file.get_content()) == ("a.bin", b"\x00\x01\x02\xff")
    assert body.isascii()


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"from": "a@b.example, c@d.example"}, "from: give one address"),
        ({"from": None}, "from: Input should be a valid string"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"headers": {"Subject": "x"}}, "Subject cannot be one of `headers`"),
        ({"headers": {"X Y": "x"}}, "'X Y' is no name of a header field"),
        ({"headers": {"X": "a\nBcc: eve@far.example"}}, "this cannot be made a mail: "),
        ({"subject": "a\r\nBcc: eve@far.example"}, "this cannot be made a mail: "),
        ({"attachments": [{"name": "x", "content": "%"}]}, "the content of 'x' is not base64"),
        ({"attachments": [{"name": "x", "type": "x", "content": ""}]}, "'x' is no type of a file"),
        ({"to": [], "bcc": []}, "no recipients: "),
        ({"to": ["a@b.example c@d.example"]}, "cannot read the addresses in "),
        ({"subject": "=?utf-8?q?x=0aBcc:_eve@far.example?="}, "a field has an encoded word with "),
        ({"subject": "=?utf-8?q?x=0d=0a=0d=0abody?= y"}, "a field has an encoded word with "),
        ({"headers": {"X": "=?utf-8?b?eApCY2M6IGE=?= y"}}, "a field has an encoded word with "),
        ({"reply-to": "=?utf-8?q?a=0aBcc:_eve@far.example?= <a@b.example>"}, "reply-to: "),
        ({"to": ["=?utf-8?q?eve@far.example=2C?= <a@b.example>"]}, "to: write names as plain text"),
        ({"to": ["eve@far.example, <a@b.example>"]}, "to: give each address by itself"),
        ({"subject": "w " * 5001}, "Subject has 10002 characters; 10000 is the most"),
        ({"bcc": ["somebody@far.example"] * 3000}, "Bcc has 65998 characters; 40000 is the most"),
        ({"headers": {f"X{n}": "w" * 9999 for n in range(9)}}, "the fields have more than 80000"),
        ({"headers": {"Resent-To": "eve@far.example"}}, "Resent-To cannot be one of `headers`"),
    ],
)
async def test_parts_that_make_no_mail(
    smtpd: Smtpd, http: httpx.AsyncClient, change: dict[str, Any], detail: str
) -> None:
    answer = await http.post("/v1/messages", json=NEW | change, headers=TOKEN)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)
    assert await smtpd.mails() == []


async def test_a_recipient_that_is_not_ascii_is_himself(
    smtpd: Smtpd, http: httpx.AsyncClient
) -> None:
    change = {"to": ["Ann <j\u00f6rg@far.example>"], "bcc": []}
    answer = await http.post("/v1/messages", json=NEW | change, headers=TOKEN)
    assert answer.status_code == 202
    record, _, body = await smtpd.only_mail()
    assert (record.waiting, record.smtputf8) == (("j\u00f6rg@far.example",), True)
    assert "To: Ann <j\u00f6rg@far.example>\r\n".encode() in body


NO_WORDS = "".join(c for c in string.printable if c.isprintable()) + "\u00e9\u2028\U0001f600"


@given(
    subject=st.text(st.sampled_from("=?utf-8qbQB_\r\n\t :aA0dDxX,@<>")) | st.text(NO_WORDS),
    name=st.text(st.sampled_from('=?utf-8q_0aD2C,@<> x"')),
)
def test_whatever_a_form_was_filled_with_there_is_one_recipient(subject: str, name: str) -> None:
    """What people write into forms becomes subjects and names."""
    words = f"=?utf-8?q?{quote(subject, safe='').replace('%', '=')}?="
    for text in (subject, words, f"{words} {words}"):
        parts_of_it = {"from": "joe@o.example", "to": [f"{name} <ann@far.example>"]}
        new = NewMail.model_validate(parts_of_it | {"subject": text, "headers": {"X-Form": text}})
        try:
            raw = composed(new)
        except BadInput:
            continue
        mail = injected(raw, Author(Address("joe", "o.example"), "", "o.example"), now=0, mark="m")
        assert mail.recipients == ("ann@far.example",)
        assert not {field.name for field in parts(mail.text).fields} & {b"bcc", b"d", b"a"}


@pytest.mark.parametrize("extract", [False, True])
@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"Received: x\n" * 60 + b"Delivered-To: x\n" * 40 + b"\nx\n", "too many hops"),
        (b"X: y\n" * 100_000 + b"\nx\n", "the header has more octets than"),
        (b"X: y\n" + b" y\n" * 1_000_000 + b"\nx\n", "the header has more octets than"),
    ],
)
async def test_what_smtpd_would_refuse_has_no_other_way_in(
    smtpd: Smtpd, http: httpx.AsyncClient, content: bytes, detail: str, *, extract: bool
) -> None:
    params = TO_ANN | {"extract": str(extract)}
    answer = await http.post("/v1/messages", params=params, content=content, headers=TOKEN)
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (400, detail)
    assert await smtpd.mails() == []


async def test_a_header_as_big_as_it_may_be(smtpd: Smtpd, http: httpx.AsyncClient) -> None:
    await smtpd.control.set("maxheader", ("1000",))
    for over, status in ((0, 202), (1, 400)):
        content = b"X:" + b"y" * (997 + over) + b"\n\n" + b"z" * 5000
        answer = await http.post("/v1/messages", params=TO_ANN, content=content, headers=TOKEN)
        assert answer.status_code == status


async def test_more_than_any_mail_is_not_read_to_its_end(
    smtpd: Smtpd, http: httpx.AsyncClient
) -> None:
    await smtpd.control.set("databytes", ("1000",))
    read = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b"x" * 10_000

    answer = await http.post("/v1/messages", params=TO_ANN, content=blocks(), headers=TOKEN)
    assert answer.status_code == 413
    assert read < 20


async def test_nothing_is_read_from_a_stranger(http: httpx.AsyncClient) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    answer = await http.post("/v1/messages", params=TO_ANN, content=blocks())
    assert answer.status_code == 401
