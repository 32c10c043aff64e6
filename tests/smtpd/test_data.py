"""Reading DATA: where a mail ends, what it is then, and what came behind it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.data import END, DataReader


def stuffed(body: bytes) -> bytes:
    """What a client sends for a body of whole lines, the end included (RFC 5321 4.5.2)."""
    lines = body.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


def read(blocks: list[bytes], limit: int = 0) -> tuple[DataReader, bytes | None]:
    """The reader after these blocks, and what the last of them brought behind the end."""
    data = DataReader(limit)
    rest = None
    for block in blocks:
        assert rest is None, "the end was found too early"
        rest = data.feed(block)
    return data, rest


DOTTED = b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\nb.\r\n\r\n...\r\nend.\r\n"


@pytest.mark.parametrize("split", range(len(stuffed(DOTTED)) + 1))
def test_every_split_gives_the_same_body(split: int) -> None:
    sent = stuffed(DOTTED)
    data, rest = read([sent[:split], sent[split:]] if split < len(sent) else [sent])
    assert rest == b""
    assert not data.has_bare_line_ends
    assert data.body() == DOTTED
    assert not data.too_big


def test_octet_by_octet() -> None:
    sent = stuffed(DOTTED)
    data, rest = read([sent[n : n + 1] for n in range(len(sent))])
    assert (data.body(), rest) == (DOTTED, b"")


@pytest.mark.parametrize("split", range(4))
def test_end_at_once_is_an_empty_mail(split: int) -> None:
    sent = b".\r\n"
    data, rest = read([sent[:split], sent[split:]] if split < 3 else [sent])
    assert (data.body(), rest) == (b"", b"")


def test_what_follows_the_end_is_returned() -> None:
    follows = b"MAIL FROM:<a@b.example>\r\n.\r\nQUIT\r\n"
    data, rest = read([b"one\r\n", b"two\r\n.\r\n" + follows])
    assert data.body() == b"one\r\ntwo\r\n"
    assert rest == follows


@pytest.mark.parametrize(
    "sent",
    [b"a\n.\nb", b"a\n.\r\nb", b"a\r\n.\nb", b"a\r.\rb", b"a\r\n.\rb", b"a.\r\nb", b"\r.\r\n"],
)
def test_no_other_sequence_ends_a_mail(sent: bytes) -> None:
    data = DataReader(0)
    assert data.feed(sent) is None
    assert data.feed(b"\r\n.\r") is None
    assert data.feed(b"\n") == b""


@pytest.mark.parametrize(
    "body",
    [
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"\n\r\n",
        b"\r\r\n",
        b"a\r\n\n",
        b"a\n.\r\nb\r\n",
        b"a\r\n.\nb\r\n",
    ],
)
def test_bare_line_ends_are_found(body: bytes) -> None:
    for blocks in ([body + b".\r\n"], [body[:1], body[1:], b".\r\n"]):
        data, _ = read(blocks)
        assert data.has_bare_line_ends


def test_no_octet_is_changed() -> None:
    body = bytes(n for n in range(256) if n not in b"\r\n") * 30 + b"\r\n"
    data, _ = read([stuffed(body)])
    assert data.body() == body


@pytest.mark.parametrize("octets", [19, 20])
def test_up_to_the_limit_is_kept(octets: int) -> None:
    body = b"x" * (octets - 2) + b"\r\n"
    data, _ = read([stuffed(body)], limit=20)
    assert not data.too_big
    assert data.body() == body


@pytest.mark.parametrize("split", range(25))
def test_over_the_limit_is_read_to_its_end_but_not_kept(split: int) -> None:
    sent = b"x" * 19 + b"\r\n.\r\n"
    blocks = [sent[:split], sent[split:] + b"NOOP\r\n"] if split < 24 else [sent + b"NOOP\r\n"]
    data, rest = read(blocks, limit=20)
    assert data.too_big
    assert rest == b"NOOP\r\n"
    assert len(data.body()) <= len(END)


def test_a_huge_mail_takes_no_room() -> None:
    data = DataReader(1000)
    for _ in range(100):
        assert data.feed(b"y" * 65_536) is None
    assert data.too_big
    assert data.feed(b"\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"
    assert len(data.body()) <= len(END)


def test_a_mail_at_the_limit_fits_however_it_is_split() -> None:
    sent = b"x" * 18 + b"\r\n.\r\n"
    too_big = [read([sent[:n], sent[n:]], limit=20)[0].too_big for n in range(len(sent))]
    assert not any(too_big)


def test_stuffed_dots_do_not_count() -> None:
    body = b".\r\n" * 6
    data, _ = read([stuffed(body)], limit=len(body))
    assert not data.too_big


LINES = st.lists(
    st.binary(max_size=6).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b".")), max_size=8
)
CUTS = st.lists(st.integers(0, 80), max_size=6)


@given(LINES, CUTS, st.binary(max_size=8))
def test_against_the_reference(lines: list[bytes], cuts: list[int], behind: bytes) -> None:
    """`stuffed` is the reference: reading gives back what it was given, however it is cut."""
    body = b"".join(line + b"\r\n" for line in lines)
    sent = stuffed(body)
    places = sorted({cut for cut in cuts if cut < len(sent)})
    starts, ends = [0, *places], [*places, len(sent)]
    blocks = [sent[a:b] for a, b in zip(starts, ends, strict=True)]
    data, rest = read([*blocks[:-1], blocks[-1] + behind])
    assert rest == behind
    assert not data.has_bare_line_ends
    assert data.body() == body


@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n"]), max_size=20))
def test_bare_line_ends_against_the_reference(pieces: list[bytes]) -> None:
    text = b"".join(pieces) + END
    end = 0 if text.startswith(b".\r\n") else text.index(END) + 2  # where the final dot stands
    without_pairs = text[:end].replace(b"\r\n", b"")
    data = DataReader(0)
    rest = data.feed(text)
    assert rest == text[end + 3 :]
    assert data.has_bare_line_ends == (b"\r" in without_pairs or b"\n" in without_pairs)


def slowly(sent: bytes) -> tuple[bytes, bytes, bool] | None:
    """RFC 5321 4.5.2, line by line: (body, what follows, bare line ends); None: no end."""
    body, bare, rest = b"", False, sent
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            return None
        if line == b".":
            return body, rest, bare
        bare = bare or b"\r" in line or b"\n" in line
        body += line.removeprefix(b".") + end


WIRE = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"\r\n.\r\n", b"a", b"\0", b"\xff"])
)


@given(WIRE, st.lists(st.integers(0, 60), max_size=5), st.integers(0, 12))
def test_any_octets_in_any_blocks_against_the_reference(
    pieces: list[bytes], cuts: list[int], limit: int
) -> None:
    sent = b"".join(pieces) + b"\r\n.\r\n"
    wanted = slowly(sent)
    assert wanted
    data, rest, places = DataReader(limit), None, sorted(cut for cut in cuts if cut < len(sent))
    for start, end in zip([0, *places], [*places, len(sent)], strict=True):
        rest = data.feed(sent[start:end])
        if rest is not None:
            rest += sent[end:]
            break
    body, behind, bare = wanted
    assert rest == behind
    assert data.too_big == bool(limit and len(body) > limit)
    if not data.too_big:
        assert data.has_bare_line_ends == bare
        assert data.body() == body
