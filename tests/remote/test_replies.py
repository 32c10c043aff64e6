import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.remote.smtp.events import Phase
from services.remote.smtp.replies import MAX_LINE, MAX_LINES, Reply, ReplyError, ReplyReader, judged
from tubepost.outcome import Deferred, Failed


def read(*pieces: bytes) -> list[Reply]:
    reader = ReplyReader()
    replies = []
    for piece in pieces:
        reader.feed(piece)
        while reply := reader.next_reply():
            replies.append(reply)
    return replies


@pytest.mark.parametrize(
    ("octets", "replies"),
    [
        (b"250 ok\r\n", [Reply(250, ("ok",))]),
        (b"250\r\n", [Reply(250, ("",))]),
        (b"250 \r\n", [Reply(250, ("",))]),
        (b"250 bare line feed\n", [Reply(250, ("bare line feed",))]),
        (b"250-a\r\n250-b c\r\n250 d\r\n", [Reply(250, ("a", "b c", "d"))]),
        (b"250-\r\n250\r\n", [Reply(250, ("", ""))]),
        (b"250 a\r\n550 b\r\n", [Reply(250, ("a",)), Reply(550, ("b",))]),
        (b"250 \xe9t\xe9\r\n", [Reply(250, ("\xe9t\xe9",))]),
        (b"250 ok", []),
    ],
)
def test_replies_are_read_in_pieces_of_any_size(octets: bytes, replies: list[Reply]) -> None:
    assert read(octets) == replies
    assert read(*(octets[n : n + 1] for n in range(len(octets)))) == replies


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b"650 ok\r\n",
        b"250-a\r\n251 b\r\n",
        b"\xb2\xb5\xb0 ok\r\n",
        b"x" * MAX_LINE,
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"250-x\r\n" * (MAX_LINES + 1),
    ],
)
def test_what_is_no_reply_is_refused(octets: bytes) -> None:
    with pytest.raises(ReplyError):
        read(octets)


def test_longest_line_allowed() -> None:
    text = "x" * (MAX_LINE - 6)
    assert read(b"250 " + text.encode() + b"\r\n") == [Reply(250, (text,))]


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_octets_give_replies_or_an_error(pieces: list[bytes]) -> None:
    with contextlib.suppress(ReplyError):
        assert all(100 <= reply.code <= 599 and reply.lines for reply in read(*pieces))


def test_the_error_shows_what_was_written_on_one_line() -> None:
    with pytest.raises(ReplyError, match=r"^it wrote 'a\?b\?'$"):
        read(b"a\x00b\xff\r\n")


def test_said_is_one_printable_line() -> None:
    assert Reply(550, ("5.1.1 no", "caf\xe9\x07 ")).said == "550-5.1.1 no/550 caf??"


def test_judged_by_the_first_digit() -> None:
    failed = judged(Reply(550, ("5.1.1 no such user",)), "192.0.2.1", "It failed", Phase.DATA)
    assert failed == Failed(
        text="It failed./Remote host said: 550 5.1.1 no such user",
        status="5.1.1",
        peer="192.0.2.1",
        reply="550 5.1.1 no such user",
    )
    later = Reply(451, ("later",))
    deferred = judged(later, "192.0.2.1", "It failed", Phase.DATA, ending="Bye.")
    assert deferred == Deferred(
        text="It failed./Remote host said: 451 later/Bye.",
        status="4.0.0",
        peer="192.0.2.1",
        reply="451 later",
    )


def test_a_code_that_fits_nowhere_is_temporary() -> None:
    assert judged(Reply(354, ("go on",)), "192.0.2.1", "It failed", Phase.DATA) == Deferred(
        text="It failed./Remote host said: 354 go on",
        status="4.5.0",
        peer="192.0.2.1",
        reply="354 go on",
    )
