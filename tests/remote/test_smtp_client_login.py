"""A login for a smarthost: which mechanism, when, and what becomes of a refusal (RFC 4954)."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import Phase, Ready, StartTls, Unusable
from services.remote.terms import Dialect
from tests.remote.conversation import IP, Conversation
from tests.remote.smtp_peer import GREETING, PLAIN, MemoryPeer
from tubepost.smtproutes import Login

LOGIN = Login("jo\xe9@example.org", "s3cret \xfc")
BOTH = b"250-peer.example\r\n250 AUTH LOGIN PLAIN\r\n"
ONLY_LOGIN = b"250-peer.example\r\n250 AUTH LOGIN CRAM-MD5\r\n"
OK = b"235 2.7.0 welcome\r\n"
PLAIN_LINE = "AUTH PLAIN " + b64encode("\0jo\xe9@example.org\0s3cret \xfc".encode()).decode()


def greeted(peer: MemoryPeer, login: Login = LOGIN, *, secure: bool = True) -> Conversation:
    client = SmtpClient(IP, "me.example", secure=secure, dialect=Dialect(login=login))
    return Conversation(peer, client=client).greet()


def refused(answers: dict[str, bytes], ehlo: bytes = BOTH, login: Login = LOGIN) -> Unusable:
    talk = greeted(MemoryPeer(answers, ehlo=ehlo), login)
    [event] = talk.events
    assert isinstance(event, Unusable)
    assert event.phase == Phase.AUTH
    assert talk.client.phase is Phase.CLOSED
    assert event.status.startswith("4.")
    return event


def test_plain_goes_first_and_in_one_step() -> None:
    talk = greeted(MemoryPeer({"AUTH": OK}, ehlo=BOTH))
    assert talk.events == [Ready()]
    assert talk.peer.lines == ["EHLO me.example", PLAIN_LINE]
    talk.mail()
    assert len(talk.peer.bodies) == 1


def test_login_where_plain_is_not_offered() -> None:
    user, password = (b64encode(x.encode()).decode() for x in (LOGIN.user, LOGIN.password))
    answers = {
        "AUTH LOGIN": b"334 VXNlcm5hbWU6\r\n",
        user: b"334 UGFzc3dvcmQ6\r\n",
        password: OK,
    }
    talk = greeted(MemoryPeer(answers, ehlo=ONLY_LOGIN))
    assert talk.events == [Ready()]
    assert talk.peer.lines[1:] == ["AUTH LOGIN", user, password]


def test_the_equals_sign_of_old_hosts_is_understood() -> None:
    talk = greeted(MemoryPeer({"AUTH": OK}, ehlo=b"250-peer.example\r\n250 AUTH=PLAIN\r\n"))
    assert talk.events == [Ready()]
    assert talk.peer.lines[1:] == [PLAIN_LINE]


def test_a_response_too_long_for_a_command_has_a_line_of_its_own() -> None:
    login = Login("u", "p" * 600)
    response = b64encode(b"\0u\0" + b"p" * 600).decode()
    talk = greeted(MemoryPeer({"AUTH PLAIN": b"334 \r\n", response: OK}, ehlo=BOTH), login)
    assert talk.events == [Ready()]
    assert talk.peer.lines[1:] == ["AUTH PLAIN", response]


SHORT = 60  # characters of each: what is longer has a line of its own


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=SHORT),
    st.text(max_size=SHORT),
)
def test_user_and_password_arrive_as_they_are(user: str, password: str) -> None:
    password = password.replace("\0", "").encode("utf-8", "replace").decode()
    talk = greeted(MemoryPeer({"AUTH": OK, "": OK}, ehlo=BOTH), Login(user, password))
    words = talk.peer.lines[-1].split()
    assert b64decode(words[-1]) == f"\0{user}\0{password}".encode()


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b"535 5.7.8 wrong\r\n", "4.7.8"),
        (b"535 wrong\r\n", "4.7.8"),
        (b"534 5.7.9 too weak\r\n", "4.7.9"),
        (b"454 4.7.0 later\r\n", "4.7.0"),
        (b"250 hm\r\n", "4.7.8"),
        (b"334 once more\r\n", "4.7.8"),
    ],
)
def test_a_refused_login_is_a_deferral_that_names_the_relay(reply: bytes, status: str) -> None:
    problem = refused({"AUTH": reply, "*": b"501 5.7.0 cancelled\r\n"} | {"": reply})
    if not reply.startswith(b"334"):
        assert problem.status == status
    assert problem.text.startswith(f"Connected to {IP} but this relay refused the login")


@pytest.mark.parametrize("ehlo", [PLAIN, b"500 what?\r\n", b"250-x\r\n250 AUTH GSSAPI NTLM\r\n"])
def test_a_relay_without_a_mechanism_of_ours_is_a_deferral(ehlo: bytes) -> None:
    problem = refused({}, ehlo)
    assert "neither AUTH PLAIN nor LOGIN" in problem.text
    assert "(#4.7.8)" in problem.text


def test_a_login_is_not_said_in_the_clear() -> None:
    talk = greeted(MemoryPeer({"AUTH": OK}, ehlo=BOTH), secure=False)
    [event] = talk.events
    assert isinstance(event, Unusable)
    assert event.status == "4.7.11"
    assert talk.peer.lines == ["EHLO me.example", "QUIT"]


def test_nor_where_starttls_is_refused() -> None:
    ehlo = b"250-peer.example\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
    talk = greeted(MemoryPeer({"STARTTLS": b"454 no\r\n", "AUTH": OK}, ehlo=ehlo), secure=False)
    assert not [line for line in talk.peer.lines if line.startswith("AUTH")]
    assert isinstance(talk.events[-1], Unusable)


def test_in_the_clear_where_the_operator_said_so() -> None:
    client = SmtpClient(IP, "me.example", dialect=Dialect(login=LOGIN, login_in_clear=True))
    talk = Conversation(MemoryPeer({"AUTH": OK}, ehlo=BOTH), client=client).greet()
    assert talk.events == [Ready()]


def test_after_starttls_what_is_offered_inside_it_counts() -> None:
    client = SmtpClient(IP, "me.example", dialect=Dialect(login=LOGIN))
    ehlo = b"250-peer.example\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n"
    talk = Conversation(MemoryPeer({"AUTH": OK}, ehlo=ehlo), client=client).greet()
    assert talk.events == [StartTls()]
    talk.peer.answers["EHLO"] = BOTH
    client.tls_started()
    talk.run()
    assert talk.events == [StartTls(), Ready()]
    assert talk.peer.lines[-1] == PLAIN_LINE


SECRETS = ["s3cret \xfc", PLAIN_LINE.split()[-1], b64encode("s3cret \xfc".encode()).decode()]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("shown", [str, str.upper, str.lower])
@pytest.mark.parametrize(
    "reply", [b"535 what is %s?\r\n", b"535-no\r\n535 %s\r\n", b"%s\r\n", b"235 hi\r\n500 %s?\r\n"]
)
def test_a_peer_that_repeats_the_login_is_not_quoted(
    secret: str, shown: type[str], reply: bytes
) -> None:
    said = shown(secret)
    talk = greeted(MemoryPeer({"AUTH": reply.replace(b"%s", said.encode())}, ehlo=BOTH))
    problem = talk.events[-1]
    assert isinstance(problem, Unusable)
    heard = f"{problem.text} {problem.reply}".lower()
    assert "words that quote our login" in heard
    assert not [word for word in secret.lower().split() if len(word) > 3 and word in heard]


def test_a_nul_in_a_login_is_not_sent() -> None:
    for login in (Login("a\0b", "x"), Login("a", "x\0y")):
        assert "NUL" in refused({}, login=login).text


def test_no_repr_shows_the_password() -> None:
    assert "s3cret" not in repr(Dialect(login=LOGIN))
    assert "s3cret" not in repr(greeted(MemoryPeer(ehlo=GREETING)).client)
