"""The words of TUBEPOST_LISTENERS."""

import pytest

from services.smtpd.facts import Kind
from services.smtpd.places import TAKEN, Place, check_certificate, fixed, parse, standard
from services.smtpd.settings import Settings
from tubepost.errors import BadInput

WORDS = "mx6=mx:[::]:25 lb=mx:10.0.0.1:2525,proxy\n  office=submissions:127.0.0.1:0,proxy"


def test_words_are_listeners() -> None:
    assert parse(WORDS) == (
        Place("mx6", Kind.MX, "::", 25),
        Place("lb", Kind.MX, "10.0.0.1", 2525, proxy=True),
        Place("office", Kind.SUBMISSIONS, "127.0.0.1", 0, proxy=True),
    )
    assert parse(" ") == ()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("mx6", "is not NAME="),
        ("mx:127.0.0.1:25", "is not NAME="),
        ("a=mx", "is not NAME="),
        ("a=mx:127.0.0.1:25,prxy", "is not NAME="),
        ("a=mx:127.0.0.1:25,", "is not NAME="),
        ("a=mx:127.0.0.1:25,proxy,proxy", "is not NAME="),
        ("=mx:127.0.0.1:25", "a name is"),
        ("A=mx:127.0.0.1:25", "a name is"),
        ("a-b=mx:127.0.0.1:25", "a name is"),
        (f"{'a' * 32}=mx:127.0.0.1:25", "a name is"),
        *((f"{name}=mx:127.0.0.1:25", "a name is") for name in sorted(TAKEN)),
        ("a=smtp:127.0.0.1:25", "not a kind"),
        ("a=mx:25", "not HOST:PORT"),
        ("a=mx:127.0.0.1:65536", "not HOST:PORT"),
        ("a=mx:h:1 b=mx:h:2 a=mx:h:3", "two listeners"),
    ],
)
def test_a_bad_word_is_refused_in_one_line(word: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        parse(word)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match=why):
        Settings(listeners=word)


def test_the_standard_ports_are_those_that_are_wanted() -> None:
    found = list(standard({"smtp": "[::1]:25", "submission": None, "submissions": "h:465"}))
    assert found == [
        Place("smtp", Kind.MX, "::1", 25),
        Place("submissions", Kind.SUBMISSIONS, "h", 465),
    ]


def test_implicit_tls_wants_a_certificate_and_says_how() -> None:
    places = parse("a=mx:h:1 b=submission:h:2 c=submissions:h:3")
    check_certificate(places, has_one=True)
    check_certificate(places[:2], has_one=False)
    with pytest.raises(BadInput, match=r"listener c .*TUBEPOST_TLS_CERT"):
        check_certificate(places, has_one=False)


def test_bound_ports_can_be_asked_for_again() -> None:
    bound = {"mx6": "[::1]:4025", "office": "127.0.0.1:4465", "admin": "127.0.0.1:1"}
    again = fixed(WORDS, bound)
    assert (
        again
        == "mx6=mx:[::1]:4025 lb=mx:10.0.0.1:2525,proxy office=submissions:127.0.0.1:4465,proxy"
    )
    assert fixed("", bound) == ""
