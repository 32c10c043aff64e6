"""The POP3 machine alone: bytes in, actions out, no socket."""

import re
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from services.popauth.pop3 import (
    Action,
    Answer,
    Close,
    Commit,
    Fetch,
    Login,
    OpenDrop,
    Opened,
    Result,
    Send,
    Session,
)

VERBS = (
    "USER",
    "PASS",
    "STAT",
    "LIST",
    "UIDL",
    "RETR",
    "TOP",
    "DELE",
    "RSET",
    "QUIT",
    "CAPA",
    "APOP",
)


class Mail(NamedTuple):
    size: int
    uid: str


DROP = Opened([Mail(100, "a"), Mail(20, "b"), Mail(3, "c")])


def answered(action: Action) -> Answer:
    """What a shell answers when everything works."""
    match action:
        case OpenDrop():
            return DROP
        case Login() | Fetch() | Commit():
            return Result.DONE
        case _:
            return None


def talk(session: Session, data: bytes = b"") -> list[Action]:
    """Feeds `data` and takes every action; all requests are answered well."""
    session.receive(data)
    actions: list[Action] = []
    while (action := session.next(answered(actions[-1]) if actions else None)) is not None:
        actions.append(action)
    return actions


def logged_in() -> Session:
    session = Session("hello")
    talk(session, b"USER u\r\nPASS p\r\n")
    return session


def test_greeting_comes_first() -> None:
    assert talk(Session("Tubepost <1.2@host>")) == [Send(b"+OK Tubepost <1.2@host>\r\n")]


def test_password_keeps_its_spaces_and_stays_out_of_the_repr() -> None:
    session = Session("hello")
    actions = talk(session, b"USER  u \r\nPASS  p q \r\n")
    assert Login("u", " p q ") in actions
    assert "p q" not in repr(actions)


def test_requests_stop_the_reading_until_they_are_answered() -> None:
    session = Session("hello")
    session.receive(b"USER u\r\nPASS p\r\nSTAT\r\n")
    taken = [session.next(), session.next(), session.next()]
    assert taken[2] == Login("u", "p")
    assert session.next(Result.REFUSED) == Send(b"-ERR [AUTH] authorization failed\r\n")
    assert session.next() == Send(b"-ERR authorization first\r\n")
    assert session.next() is None


def test_maildrop_that_cannot_be_opened_leaves_the_session_where_it_was() -> None:
    session = Session("hello")
    session.receive(b"USER u\r\nPASS p\r\nSTAT\r\n")
    for _ in range(3):
        session.next()
    assert session.next(Result.DONE) == OpenDrop()
    assert session.next(Result.AWAY) == Send(b"-ERR [SYS/TEMP] unable to open the maildrop now\r\n")
    assert session.next() == Send(b"-ERR authorization first\r\n")


def test_fetches_name_the_message_and_the_lines() -> None:
    actions = talk(logged_in(), b"RETR 2\r\nTOP 3 7\r\n")
    assert actions == [Fetch(1, None, b"+OK 20 octets\r\n"), Fetch(2, 7, b"+OK\r\n")]


def test_message_that_cannot_be_opened_is_an_error_and_the_session_goes_on() -> None:
    session = logged_in()
    session.receive(b"RETR 1\r\nNOOP\r\n")
    assert isinstance(session.next(), Fetch)
    assert session.next(Result.AWAY) == Send(b"-ERR unable to open that message\r\n")
    assert session.next() == Send(b"+OK\r\n")


def test_quit_commits_the_marks_and_nothing_after_it_is_read() -> None:
    actions = talk(logged_in(), b"DELE 1\r\nDELE 3\r\nQUIT\r\nDELE 2\r\n")
    assert actions[2:] == [Commit(frozenset({0, 2})), Send(b"+OK bye\r\n"), Close()]


def test_quit_tells_when_messages_remain() -> None:
    session = logged_in()
    session.receive(b"DELE 1\r\nQUIT\r\n")
    session.next()
    assert session.next() == Commit(frozenset({0}))
    assert session.next(Result.AWAY) == Send(
        b"-ERR [SYS/TEMP] some deleted messages not removed\r\n"
    )
    assert session.next() == Close()


def test_shutdown_waits_for_the_command_in_hand_and_drops_the_rest() -> None:
    session = logged_in()
    session.receive(b"DELE 1\r\nRETR 2\r\nQUIT\r\n")
    session.next()
    assert isinstance(session.next(), Fetch)
    session.shut_down()
    assert session.next(Result.DONE) == Send(b"-ERR [SYS/TEMP] shutting down\r\n")
    assert session.next() == Close()
    assert session.next() is None


def test_a_line_without_end_is_not_kept() -> None:
    session = logged_in()
    for _ in range(1000):
        assert talk(session, b"x" * 1000) == []
        assert len(session._buffer) <= 1000
    assert talk(session, b"\nNOOP\r\n") == [
        Send(b"-ERR command line too long\r\n"),
        Send(b"+OK\r\n"),
    ]


def test_a_long_listing_comes_in_blocks() -> None:
    session = Session("hello")
    session.receive(b"USER u\r\nPASS p\r\nUIDL\r\n")
    for _ in range(3):
        session.next()
    session.next(Result.DONE)
    session.next(Opened([Mail(1, "u" * 70)] * 10_000))
    sent = []
    while isinstance(action := session.next(), Send):
        sent.append(action.data)
    assert max(map(len, sent)) < 65_536
    assert b"".join(sent).count(b"\r\n") == 10_002


COMMANDS = st.one_of(
    st.binary(max_size=600),
    st.builds(
        lambda verb, argument, end: verb.encode() + b" " + argument + end,
        st.sampled_from(VERBS),
        st.one_of(
            st.binary(max_size=300),
            st.integers(-2, 5).map(lambda n: b"%d" % n),
            st.integers(-2, 5).map(lambda n: b"%d %d" % (n, n)),
        ),
        st.sampled_from([b"\r\n", b"\n", b"", b"\r"]),
    ),
)
ANSWERS = st.sampled_from(list(Result))

REPLIES = re.compile(rb"(?:(?:\+OK|-ERR)[ -~\xff]*\r\n(?:(?!\+OK|-ERR)[ -~]*\r\n)*)*")


@given(st.lists(COMMANDS, max_size=30), st.lists(ANSWERS, max_size=60), st.booleans())
def test_no_bytes_raise_and_replies_are_well_formed(
    commands: list[bytes], results: list[Result], login_first: bool
) -> None:
    session = logged_in() if login_first else Session("hello")
    sent, answers = b"", iter(results)
    for command in commands:
        session.receive(command)
        answer: Answer = None
        while (action := session.next(answer)) is not None:
            sent += action.data if isinstance(action, Send) else b""
            answer = wild_answer(action, next(answers, Result.DONE))
            sent += action.opening if isinstance(action, Fetch) and answer is Result.DONE else b""
    assert REPLIES.fullmatch(sent)
    assert sent.endswith(LAST_WORDS) or not session.closed


LAST_WORDS = (b"bye\r\n", b"not removed\r\n", b"[AUTH] authorization failed\r\n")


def wild_answer(action: Action, result: Result) -> Answer:
    """Any answer a shell may give to this action."""
    if isinstance(action, Send | Close):
        return None
    if isinstance(action, OpenDrop) and result is Result.DONE:
        return DROP
    return result


@given(st.binary(max_size=400), st.integers(0, 400))
def test_where_the_bytes_are_cut_makes_no_difference(data: bytes, cut: int) -> None:
    stream = b"LIST\r\n" + data + b"\r\nNOOP\r\n"
    whole = talk(logged_in(), stream)
    session = logged_in()
    assert talk(session, stream[:cut]) + talk(session, stream[cut:]) == whole
