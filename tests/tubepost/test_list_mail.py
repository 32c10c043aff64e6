"""What a list makes of a mail: nothing of the author's is lost, nothing of another list is left."""

from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import list_mail, verp
from tubepost.address import parse_address
from tubepost.directory_values import MODERATORS, MailingList

NEWS = MailingList("News@example.org", "boss@example.org", ("ann@far.example",))
BODY = b"From: joe@far.example\r\nSubject: hello\r\n\r\nHi.\r\n"
FIELDS = (
    b"List-Id: <News.example.org>\r\n"
    b"List-Post: <mailto:News@example.org>\r\n"
    b"List-Owner: <mailto:News-owner@example.org>\r\n"
    b"List-Unsubscribe: <mailto:News-owner@example.org?subject=unsubscribe>\r\n"
    b"Precedence: list\r\n"
)


def test_the_list_s_fields_stand_above_what_the_author_wrote() -> None:
    assert list_mail.copy(NEWS, BODY) == FIELDS + BODY


@pytest.mark.parametrize(
    "body", [b"\r\nno header\r\n", b"", b"Subject: no text", b"Subject: x\r\n"]
)
def test_a_mail_without_a_header_or_a_body_keeps_what_it_has(body: bytes) -> None:
    assert list_mail.copy(NEWS, body) == FIELDS + body


def test_fields_of_another_list_go_but_for_its_archive() -> None:
    of_the_other = (
        b"LIST-ID: a list\r\n\t<other.example>\r\n"
        b"List-Unsubscribe-Post : List-Unsubscribe=One-Click\r\n"
        b"List-Help: <mailto:other-help@far.example>\r\n"
        b"Precedence: bulk\r\n"
    )
    kept = b"List-Archive: <https://far.example/>\r\nX-List-Id: 1\r\n"
    body = b"Received: x\r\n" + of_the_other + kept + BODY
    assert list_mail.copy(NEWS, body) == FIELDS + b"Received: x\r\n" + kept + BODY


def test_what_looks_like_a_field_in_the_text_stays() -> None:
    body = BODY + b"List-Id: <other.example>\r\nPrecedence: bulk\r\n"
    assert list_mail.copy(NEWS, body) == FIELDS + body


def test_a_field_at_the_end_of_a_header_without_a_body_goes_whole() -> None:
    assert list_mail.copy(NEWS, b"Subject: x\r\nList-Id: <a.b>") == FIELDS + b"Subject: x\r\n"


def test_a_list_for_moderators_alone_says_that_nobody_can_post() -> None:
    announced = MailingList("a@b.example", "boss@b.example", posting=MODERATORS)
    assert b"\r\nList-Post: NO\r\n" in list_mail.copy(announced, BODY)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Our news", b'List-Id: "Our news" <News.example.org>\r\n'),
        ('The "news"', b'List-Id: "The \\"news\\"" <News.example.org>\r\n'),
        ("x\r\nBcc: eve@far.example", b'List-Id: "x Bcc: eve@far.example" <News.example.org>\r\n'),
        ("\r\n", b"List-Id: <News.example.org>\r\n"),
    ],
)
def test_the_name_stands_in_list_id_and_breaks_no_line(name: str, field: bytes) -> None:
    named = MailingList(NEWS.address, NEWS.owner, name=name)
    assert list_mail.copy(named, BODY).startswith(field)


@given(st.text(max_size=200))
def test_whatever_the_name_is_the_header_is_the_same_but_for_it(name: str) -> None:
    named = MailingList(NEWS.address, NEWS.owner, name=name)
    copy = list_mail.copy(named, BODY)
    assert copy.isascii()
    assert copy.endswith(FIELDS.partition(b"\r\n")[2] + BODY)
    found = message_from_bytes(copy, policy=policy.default)
    assert found.keys()[:3] == ["List-Id", "List-Post", "List-Owner"]
    assert list_mail.loops(NEWS, copy)


def test_a_name_in_other_letters_is_one_for_people() -> None:
    named = MailingList(NEWS.address, NEWS.owner, name="Grüße aus Köln " * 6)
    field = list_mail.copy(named, BODY).partition(b"\r\nList-Post")[0]
    assert max(len(line) for line in field.split(b"\r\n")) <= 78 + len("<News.example.org>")
    found = message_from_bytes(list_mail.copy(named, BODY), policy=policy.default)
    assert str(found["List-Id"]).startswith("Grüße aus Köln Grüße aus Köln")


def test_an_address_that_needs_quotes_has_none_in_list_id_and_is_escaped_in_links() -> None:
    odd = MailingList('"our .. news"@example.org', "boss@example.org", ("ann@far.example",))
    copy = list_mail.copy(odd, BODY)
    assert b"List-Id: <our%20%2E%2E%20news.example.org>\r\n" in copy
    assert b"List-Owner: <mailto:%22our%20..%20news-owner%22@example.org>\r\n" in copy
    assert list_mail.sender(odd) == '"our .. news-return-"@example.org-@[]'
    assert list_mail.loops(odd, copy)


def test_a_member_s_copy_has_a_sender_that_names_the_member() -> None:
    sender = list_mail.sender(NEWS)
    assert sender == "News-return-@example.org-@[]"
    assert verp.sender_for(sender, "ann@far.example") == "News-return-ann=far.example@example.org"
    assert verp.owner(sender) == "News-return-@example.org"


@pytest.mark.parametrize(
    ("length", "sender"),
    [(56, f"{'n' * 56}-return-@b.example-@[]"), (57, "boss@far.example")],
)
def test_a_list_whose_name_leaves_no_room_has_its_owner_for_a_sender(
    length: int, sender: str
) -> None:
    assert list_mail.sender(MailingList(f"{'n' * length}@b.example", "boss@far.example")) == sender


@pytest.mark.parametrize(
    ("header", "looping"),
    [
        (b"List-Id: <news.example.org>\r\n", True),
        (b"Received: x\r\nLIST-ID: Our\r\n news\r\n\t<NEWS.example.org>\r\n", True),
        (b"List-Id: <other.example.org>\r\nList-Id: <news.example.org>\r\n", True),
        (b"List-Id: <old-news.example.org>\r\n", False),
        (b"X-List-Id: <news.example.org>\r\n", False),
        (b"Subject: about <news.example.org>\r\n", False),
        (b"", False),
    ],
)
def test_a_mail_that_has_the_list_s_own_list_id_loops(header: bytes, looping: bool) -> None:
    assert list_mail.loops(NEWS, header + BODY) is looping


def test_a_list_id_in_the_text_is_no_loop() -> None:
    assert not list_mail.loops(NEWS, BODY + b"List-Id: <news.example.org>\r\n")


def test_each_member_gets_it_once_and_the_list_never() -> None:
    members = ("joe@far.example", "Ann@far.example", "JOE@FAR.example", "NEWS@example.org")
    found = list_mail.members(MailingList(NEWS.address, NEWS.owner, members))
    assert found == ("joe@far.example", "Ann@far.example")


@given(st.lists(st.sampled_from(["a@b.c", "A@b.c", "d@b.c", "news@example.org", '"x y"@b.c'])))
def test_nobody_is_left_out(addresses: list[str]) -> None:
    def keys(found: tuple[str, ...] | list[str]) -> list[str]:
        return [parse_address(address).key for address in found]

    found = keys(list_mail.members(MailingList(NEWS.address, NEWS.owner, tuple(addresses))))
    assert set(found) == set(keys(addresses)) - {"news@example.org"}
    assert len(set(found)) == len(found)


def test_other_letters_are_compared_as_addresses_are() -> None:
    """RFC 6532 3.1: one letter may be written in two ways."""
    members = ("zo\u00eb@far.example", "ZOE\u0308@FAR.example")
    found = list_mail.members(MailingList(NEWS.address, NEWS.owner, members))
    assert found == members[:1]
