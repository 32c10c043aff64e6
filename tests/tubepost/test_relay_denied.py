"""The template of the relay-denied text: what it may hold, and that no client can write in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.errors import BadInput
from tubepost.relay_denied import DEFAULT, filled, parse

OVH = "sorry, {domain} isn't allowed to be relayed thru this MTA (#5.7.1)"


def said(template: str, recipient: str = "joe@example.org") -> str:
    return filled(parse((template,)), recipient.rpartition("@")[2], recipient, "192.0.2.7")


def test_the_default_is_qmail_s_and_passes_its_own_reading() -> None:
    assert parse((DEFAULT,)) == DEFAULT
    assert said(DEFAULT) == DEFAULT


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (OVH, "sorry, example.org isn't allowed to be relayed thru this MTA (#5.7.1)"),
        ("{client} may not send to {recipient} (#5.7.1)",
         "192.0.2.7 may not send to joe@example.org (#5.7.1)"),
        ("log in first", "log in first (#5.7.1)"),
        ("log in (first)", "log in (first) (#5.7.1)"),
        ("{{domain}} {domain} (#5.7.0)", "{domain} example.org (#5.7.0)"),
    ],
)  # fmt: skip
def test_what_is_filled_in(template: str, text: str) -> None:
    assert said(template) == text


@pytest.mark.parametrize(
    "template",
    ["", "  ", "{}", "{0}", "{user}", "{domain.x}", "{domain[0]}", "{domain!r}", "{domain:>9}",
     "{domain:{client}}", "{", "}", "{domain", "domain}", "a\nb", "a\tb", "gr\u00fc\u00df",
     "x" * 501, "{domain}{recipient}{client}{domain}"],
)  # fmt: skip
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(BadInput):
        parse((template,))


def test_it_is_one_line() -> None:
    for lines in ((), ("a", "b")):
        with pytest.raises(BadInput):
            parse(lines)


def test_braces_in_an_address_stay_what_they_are() -> None:
    assert said("{recipient}", "{client}@example.org") == "{client}@example.org (#5.7.1)"


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_a_reply_is_one_short_line_of_ascii(domain: str, recipient: str, client: str) -> None:
    text = filled(parse(("{domain} {recipient} {client}",)), domain, recipient, client)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 500
