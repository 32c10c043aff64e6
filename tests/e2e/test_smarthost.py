"""Two whole platforms: one is the smarthost of the other. What a line of smtproutes does, live."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.platform import PASSWORD, Platform, until
from tests.e2e.real_peers import free_port
from tests.e2e.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

JOE = "joe@example.org"
GOOD = ("example.org", "sourced.example", "failover.example")
"""Domains of the smarthost."""


@pytest.fixture(scope="module")
def smarthost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("smart") / "data", "--processes")
    try:
        platform.start().with_accounts("joe")
        for domain in GOOD[1:]:
            platform.ok("domain", "add", domain)
            password = PASSWORD.encode() + b"\n"
            platform.ok("account", "add", f"joe@{domain}", "--password-stdin", stdin=password)
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, smarthost: Platform) -> Iterator[Platform]:
    """It trusts the smarthost's certificate, which is for `localhost`."""
    platform = Platform(tmp_path_factory.mktemp("front") / "data", "--processes")
    platform.environment["TUBEPOST_CA_FILE"] = str(smarthost.data / "tls.crt")
    submission = smarthost.addresses["submission"][1]
    relay, login = f"127.0.0.1:{submission} name=localhost", f"|{JOE}|{PASSWORD}"
    routes = [
        f"example.org:{relay}{login}",
        f"sourced.example:{relay} source=127.0.0.5 helo=out.client.example{login}",
        f"failover.example:127.0.0.1:{free_port()},{relay}{login}",
        f"wrong.example:{relay}|{JOE}|{PASSWORD} not",
        f"misnamed.example:127.0.0.1:{submission} name=mx.smart.example{login}",
        f"open.example:127.0.0.1:{smarthost.addresses['smtp'][1]}",
    ]
    try:
        platform.start()
        platform.ok("control", "set", "rcpthosts", ".example", "example.org")
        platform.ok("control", "set", "smtproutes", "--stdin", stdin="\n".join(routes).encode())
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


def send(platform: Platform, *to: str) -> None:
    with platform.smtp() as client:
        for address in to:
            client.sendmail("ann@client.example", [address], f"Subject: {address}\r\n\r\nHi.\r\n")


def arrived(smarthost: Platform, address: str) -> str:
    """The one mail that has come for an account of the smarthost."""
    until(lambda: bool(smarthost.maildir(address)), 60, f"the mail to {address}")
    [mail] = smarthost.maildir(address)
    return mail.read_text()


def said(platform: Platform, address: str) -> str:
    """What was said last to a recipient that waits."""

    def recipient() -> dict[str, Any]:
        found = {r["address"]: r for mail in platform.json("qread") for r in mail["recipients"]}
        waiting: dict[str, Any] = found[address]
        return waiting

    until(lambda: recipient()["attempts"] > 0, 60, f"the deferral of {address}")
    return str(recipient()["reply"])


def test_it_is_told_the_login_and_takes_the_mail(platform: Platform, smarthost: Platform) -> None:
    send(platform, JOE)
    received = arrived(smarthost, JOE)
    assert " with ESMTPSA " in received, received
    assert JOE in received.partition(" by ")[0], "who has logged in stands in Received"


def test_a_route_has_a_source_and_a_name_of_its_own(
    platform: Platform, smarthost: Platform
) -> None:
    send(platform, "joe@sourced.example")
    received = arrived(smarthost, "joe@sourced.example")
    assert "out.client.example" in received.partition(" by ")[0], received
    assert "127.0.0.5" in received.partition(" by ")[0]


def test_the_second_relay_of_a_line_where_the_first_is_down(
    platform: Platform, smarthost: Platform
) -> None:
    send(platform, "joe@failover.example")
    assert " with ESMTPSA " in arrived(smarthost, "joe@failover.example")


def test_a_wrong_password_bounces_nothing(platform: Platform) -> None:
    send(platform, "joe@wrong.example")
    assert said(platform, "joe@wrong.example").startswith(
        "Connected to 127.0.0.1 but this relay refused the login of smtproutes./Remote host said: "
    )


def test_a_certificate_for_another_name_hears_no_login(platform: Platform) -> None:
    send(platform, "joe@misnamed.example")
    text = said(platform, "joe@misnamed.example")
    assert text.startswith("Connected to 127.0.0.1 but its certificate is for ")
    assert text.endswith(", localhost, not for mx.smart.example. (#4.7.5)")


def test_a_relay_without_tls_hears_no_login(platform: Platform, sink: Sink) -> None:
    lines = platform.ok("control", "get", "smtproutes").rstrip("\n")
    plain = f"plain.example:127.0.0.1:{sink.port} name=localhost|{JOE}|{PASSWORD}"
    platform.ok("control", "set", "smtproutes", "--stdin", stdin=f"{lines}\n{plain}".encode())
    send(platform, "joe@plain.example")
    assert said(platform, "joe@plain.example") == (
        "Connected to 127.0.0.1 but this relay offers no TLS, and the login of smtproutes is not "
        "sent in the clear. (#4.7.11)"
    )
    assert sink.mails == []


def why(platform: Platform, target: str, code: int) -> str:
    done: subprocess.CompletedProcess[bytes] = platform.command("why", target)
    assert (done.returncode, done.stderr) == (code, b""), done
    return done.stdout.decode()


def test_why_shows_what_tls_came_to(platform: Platform) -> None:
    lines = why(platform, "nobody@example.org", 0).splitlines()
    assert any(line.strip().startswith("TLS verify (localhost); as ") for line in lines), lines
    assert any(line.endswith(", with a login") for line in lines)
    assert any(line.strip().startswith("TLSv1.3 TLS_AES_") for line in lines)
    assert "              the certificate is what the policy demands" in lines


def test_why_shows_what_verify_would_say(platform: Platform) -> None:
    text = why(platform, "open.example", 0)
    assert "TLSv1.3 " in text
    assert "certificate for " in text
    assert "it would not do for verify: Connected to 127.0.0.1 but its certificate is for" in text


def test_why_names_the_login_and_the_certificate_as_reasons(platform: Platform) -> None:
    assert "refuses our login (535 " in why(platform, "wrong.example", 1).splitlines()[-1]
    last = why(platform, "misnamed.example", 1).splitlines()[-1]
    assert "The TLS policy for misnamed.example is verify, and no host" in last
    assert "not for mx.smart.example" in last


def test_the_password_stands_in_no_log_event_or_answer(platform: Platform) -> None:
    shown = [platform.ok("log", "-n", "1000", "--json"), platform.log.read_text()]
    shown += [
        platform.command("why", f"{n}.example", "--json").stdout.decode()
        for n in ("wrong", "misnamed")
    ]
    shown += [platform.ok("qread", "--json"), platform.ok("destinations", "--json")]
    for text in shown:
        assert text
        assert PASSWORD not in text


def test_sessions_are_counted_by_tls_and_by_how_they_were_used(platform: Platform) -> None:
    host, port = platform.addresses["admin"]

    def counted(name: str, *labels: str) -> float:
        found = httpx.get(f"http://{host}:{port}/metrics", timeout=30).text.splitlines()
        lines = [line for line in found if line.startswith(f"{name}{{")]
        return sum(float(x.split()[-1]) for x in lines if all(label in x for label in labels))

    send(platform, "nobody@example.org")
    until(
        lambda: counted("tubepost_remote_recent_recipients", "example.org", "failure") >= 1,
        60,
        "the attempt",
    )
    assert counted("tubepost_remote_sessions_total", 'tls="TLSv1.3"') >= 1
    assert counted("tubepost_remote_transaction_seconds_count", "session=") >= 1
    assert counted("tubepost_delivery_kinds_total", "unknown_user") >= 1


def test_destinations_that_share_their_hosts_limit_say_so(platform: Platform, sink: Sink) -> None:
    """One mail an hour to that relay, whatever the domain; the first mail makes it known."""
    lines = platform.ok("control", "get", "smtproutes").rstrip("\n")
    shared = f".shared.example:127.0.0.1:{sink.port}"
    platform.ok("control", "set", "smtproutes", "--stdin", stdin=f"{lines}\n{shared}".encode())
    platform.ok("control", "set", "destinations", ":20", "mx 127.0.0.1:20:1/h")
    send(platform, *(f"x@{n}.shared.example" for n in range(3)))
    sink.wait_for(3, 60)

    def waits() -> dict[str, Any]:
        send(platform, *(f"x@{n}.shared.example" for n in range(3)))
        found = json.loads(platform.ok("destinations", "--json"))
        return {each["name"]: each for each in found if each["site"] == "127.0.0.1"}

    until(lambda: bool(waits()), 60, "a destination that waits for the limit it shares")
    assert "\twith 127.0.0.1\t" in platform.ok("destinations")
