"""Addresses in header fields: none is lost, none is invented."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.address_list import addresses
from tubepost.errors import BadInput


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" , ", []),
        ("joe", ["joe@h.example"]),
        ("a@b.c, Bob <bob@x.y>, grp: c@d.e, f;", ["a@b.c", "bob@x.y", "c@d.e", "f@h.example"]),
        ("undisclosed-recipients:;", []),
        ('"a, b" <c@d.e>', ["c@d.e"]),
        ('Bob "The, Man" B. <bob@x.y>', ["bob@x.y"]),
        ("a@b.c,,d@e.f", ["a@b.c", "d@e.f"]),
        ("a (x (y) \\) c@d) @ b . c", ["a@b.c"]),
        ("joe . lee @ x.y", ["joe.lee@x.y"]),
        ('"joe x"@e.org', ['"joe x"@e.org']),
        ('"joe@x"', ['"joe@x"@h.example']),
        ("a@[192.0.2.1]", ["a@[192.0.2.1]"]),
        ("<@r1,@r2:joe@x.y>", ["joe@x.y"]),
        ("a@b.c,\n d@e.f", ["a@b.c", "d@e.f"]),
        ("=?utf-8?q?x=40evil=2Ecom?= <a@b.c>", ["a@b.c"]),
        ("J\udcf6rg <a@b.c>", ["a@b.c"]),
        ("jörg@exämple.org", ["jörg@xn--exmple-cua.org"]),
    ],
)
def test_what_is_found(text: str, found: list[str]) -> None:
    assert [str(address) for address in addresses(text, "h.example")] == found


@pytest.mark.parametrize(
    "text",
    [
        "a@b.c d@e.f",
        "a@b.c\n d@e.f",
        "a b c@d.e",
        "<>",
        "Joe <>",
        "<a@b",
        "a>",
        "<a@b><c@d>",
        "Joe <joe@x.y> trailing",
        '"joe" x@e.org',
        'joe"x"@e.org',
        '"',
        "(",
        "a@b@c.d",
        "a@b.c: d@e.f;",
        "<a@b.c>: d@e.f;",
        "\udcff@x.y",
    ],
)
def test_what_cannot_be_read_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(BadInput):
        addresses(f"ann@example.org, {text}", "h.example")


WORDS = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
SPECS = st.builds(lambda local, domain: f"{local}@{domain}.example", WORDS, WORDS)
NAMES = st.one_of(
    WORDS,
    st.text(st.characters(exclude_characters='"\\\0\r\n', max_codepoint=0x2FF)).map(
        lambda text: f'"{text}"'
    ),
)
COMMENTS = st.sampled_from(["", " ", " (a, <b@c.d>)", "\n\t"])


@given(st.lists(st.tuples(st.none() | NAMES, SPECS, COMMENTS), max_size=6))
def test_each_mailbox_is_found_once_whatever_stands_around_it(
    boxes: list[tuple[str | None, str, str]],
) -> None:
    texts = (s + c if n is None else f"{n}{c} <{s}>{c}" for n, s, c in boxes)
    found = addresses(", ".join(texts), "h.example")
    assert [str(address) for address in found] == [spec for _, spec, _ in boxes]


@given(st.text('ab@<>,;:.()"\\ \n[]=?', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = addresses(text, "h.example")
    except BadInput:
        return
    assert len(found) <= text.count(",") + text.count(";") + 1 + text.count(":")
