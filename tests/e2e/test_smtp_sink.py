"""Postfix's smtp-sink as the other host, in each of its failure modes (smtp-sink(1))."""

import email
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.real_peers import free_port, listens, running
from tests.e2e.tools import require
from tests.remote.attempts import Attempts
from tubepost.delivery import Mail
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import Wish
from tubepost.subjects import Key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

TO = ("ann@far.example", "bob@far.example")
BODY = b"Subject: x\r\n\r\nHi.\r\n.\r\n..two\r\nBye.\r\n"
MAIL = Mail(Key(0, "m1", "0"), "s@example.org", TO, "[127.0.0.1]", BODY, 1, 0.0)
SOFT, HARD = "450 4.3.0 Error: command failed", "500 5.3.0 Error: command failed"
DOUBT = "Possible duplicate!"


@contextmanager
def sink(folder: Path, *options: str) -> Iterator[int]:
    """Its port."""
    port = free_port()
    command = [require("smtp-sink", "postfix"), "-4", "-u", "nobody", *options]
    command += [f"127.0.0.1:{port}", "100"]
    with running(command, listens(port), folder / "smtp-sink.log"):
        yield port


async def attempt(folder: Path, *options: str, mail: Mail = MAIL) -> Outcome:
    """The outcome that all recipients share."""
    with sink(folder, *options) as port:
        async with Attempts(port) as attempts:
            outcomes = await attempts.deliver(mail)
    assert set(outcomes) == set(TO)
    assert len(set(outcomes.values())) == 1, outcomes
    return outcomes[TO[0]]


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
async def test_a_hard_refusal_fails(tmp_path: Path, command: str) -> None:
    outcome = await attempt(tmp_path, "-f", command)
    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.reply, outcome.peer) == ("5.3.0", HARD, "127.0.0.1")


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
async def test_a_soft_refusal_defers(tmp_path: Path, command: str) -> None:
    outcome = await attempt(tmp_path, "-r", command)
    assert isinstance(outcome, Deferred)
    assert (outcome.status, outcome.reply, outcome.peer) == ("4.3.0", SOFT, "127.0.0.1")
    assert not outcome.no_connection


@pytest.mark.parametrize("how", ["-f", "-r", "-q", "-Q"])
@pytest.mark.parametrize("command", ["CONNECT", "EHLO HELO"])
async def test_a_host_that_does_not_greet_us_never_fails_a_mail(
    tmp_path: Path, how: str, command: str
) -> None:
    outcome = await attempt(tmp_path, how, command)
    assert isinstance(outcome, Deferred)
    assert outcome.no_connection, "the next host, and then the destination, are to be waited for"


async def test_a_host_that_knows_no_ehlo_is_told_helo(tmp_path: Path) -> None:
    assert isinstance(await attempt(tmp_path, "-f", "EHLO"), Delivered)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
async def test_a_connection_that_ends_defers(tmp_path: Path, command: str) -> None:
    outcome = await attempt(tmp_path, "-q", command)
    assert isinstance(outcome, Deferred)
    assert (outcome.status, DOUBT in outcome.text) == ("4.4.2", command == ".")
    assert (outcome.kind == "in_doubt") == (command == ".")


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
async def test_a_host_that_closes_with_421_defers_without_doubt(
    tmp_path: Path, command: str
) -> None:
    outcome = await attempt(tmp_path, "-Q", command)
    assert isinstance(outcome, Deferred)
    assert "421 " in outcome.text
    assert DOUBT not in outcome.text, "it said that it has not taken the mail"


@pytest.mark.parametrize("how", ["-f", "-r", "-q", "-Q"])
async def test_what_comes_after_the_mail_was_taken_is_of_no_account(
    tmp_path: Path, how: str
) -> None:
    assert isinstance(await attempt(tmp_path, how, "RSET QUIT"), Delivered)


# Where it delays a reply, it answers what was pipelined behind it first: hence -p.
@pytest.mark.parametrize("slow", ["-H 1", "-w 1", "-W .:1", "-pW RCPT:1", "-W CONNECT:1"])
async def test_a_slow_host_is_waited_for(tmp_path: Path, slow: str) -> None:
    assert isinstance(await attempt(tmp_path, *slow.split()), Delivered)


async def test_an_early_refusal_of_a_body_is_no_delivery(tmp_path: Path) -> None:
    big = replace(MAIL, body=BODY + b"x" * 70_000 + b"\r\n")
    assert not isinstance(await attempt(tmp_path, "-A", "0", mail=big), Delivered)


@pytest.mark.parametrize("off", ["-8", "-a", "-C", "-e", "-E", "-F", "-N", "-p", "-P", "-8aCEFNp"])
async def test_extensions_it_does_not_offer(tmp_path: Path, off: str) -> None:
    asking = replace(MAIL, ret="HDRS", envid="e1", wishes={TO[0]: Wish("NEVER")})
    outcome = await attempt(tmp_path, off, mail=asking)
    assert isinstance(outcome, Delivered)
    assert outcome.reports == (not {"e", "N", "P"} & set(off))


async def test_what_arrives_is_what_was_sent(tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    body = BODY + "Grüße\r\n".encode() + b"y" * 5000 + b"\r\n.\r\n\r\n"
    asking = replace(MAIL, body=body, ret="HDRS", envid="e1", wishes={TO[0]: Wish("NEVER")})
    outcome = await attempt(tmp_path, "-d", f"{folder}/mail.", mail=asking)
    assert isinstance(outcome, Delivered)
    [file] = folder.iterdir()
    octets = file.read_bytes()
    added = email.message_from_bytes(octets)
    assert added["X-Mail-Args"] == "<s@example.org> BODY=8BITMIME RET=HDRS ENVID=e1"
    assert added.get_all("X-Rcpt-Args") == [
        "<ann@far.example> NOTIFY=NEVER ORCPT=rfc822;ann@far.example",
        "<bob@far.example>",
    ]
    assert added["X-Helo-Args"] == "me.example"
    assert octets.rstrip(b"\n").endswith(body.replace(b"\r\n", b"\n").rstrip(b"\n"))


@pytest.mark.parametrize("window", ["1000", "5000"])
async def test_a_small_window(tmp_path: Path, window: str) -> None:
    big = replace(MAIL, body=BODY + (b"z" * 70 + b"\r\n") * 5000)
    assert isinstance(await attempt(tmp_path, "-T", window, mail=big), Delivered)
