"""Several smtpd processes on one port, and listeners of one's own: as an operator sees them."""

import contextlib
import os
import signal
import smtplib
import ssl
import subprocess
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.platform import (
    LISTENERS,
    PASSWORD,
    TUBEPOST,
    NewPlatform,
    Platform,
    descendants,
    until,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WITHIN = 30.0


def admin(platform: Platform, path: str) -> httpx.Response:
    host, port = platform.addresses["admin"]
    return httpx.get(f"http://{host}:{port}{path}", timeout=10)


def by_worker(platform: Platform, name: str) -> dict[str, float]:
    """The samples of a metric of smtpd, summed up for each worker."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(admin(platform, "/metrics").text):
        for sample in family.samples:
            if sample.name == name and sample.labels["service"] == "smtpd":
                worker = sample.labels["worker"]
                found[worker] = found.get(worker, 0) + sample.value
    return found


def send(platform: Platform) -> None:
    with platform.smtp() as client:
        client.sendmail("eve@far.example", ["joe@example.org"], "X: y\r\n\r\nHi.\r\n")


def send_until(platform: Platform, workers: set[str]) -> int:
    """Mails until each of these workers has taken one; the kernel chooses. How many they were."""
    for sent in range(1, 200):
        send(platform)
        taken = by_worker(platform, "tubepost_mails_accepted_total")
        if workers <= {worker for worker, count in taken.items() if count}:
            return sent
    raise AssertionError("some worker takes no mail")


def is_ready(platform: Platform) -> bool:
    return admin(platform, "/readyz").status_code == 200


def has_ended(platform: Platform, pid: int) -> bool:
    """Its sockets are closed, too: one that is dying has lost its command line before that."""
    return pid not in descendants(platform.pid)


def is_another(platform: Platform, before: set[int]) -> bool:
    return len(set(platform.pids_of("smtpd")) - before) == 1


def test_workers_share_a_port_and_one_may_end(new_platform: NewPlatform) -> None:
    platform = new_platform("--processes", "--smtpd-workers=2").start().with_accounts("joe")
    count = send_until(platform, {"1", "2"})
    until(lambda: len(platform.maildir("joe@example.org")) == count, WITHIN, "delivery")
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = set(platform.pids_of("smtpd"))
        assert len(before) == 2
        ended = min(before)
        os.kill(ended, number)
        until(partial(has_ended, platform, ended), WITHIN, "its end")
        send(platform)  # to the other one
        count += 1
        until(partial(is_another, platform, before), WITHIN, "restart")
        until(lambda: is_ready(platform), WITHIN, "readiness")
        count += send_until(platform, {"1", "2"})
    until(lambda: len(platform.maildir("joe@example.org")) == count, WITHIN, "delivery")
    assert platform.stop() == 0


def test_a_worker_drains_the_mail_it_is_taking(new_platform: NewPlatform) -> None:
    platform = new_platform("--processes", "--smtpd-workers=2").start().with_accounts("joe")
    clients = [platform.smtp() for _ in range(8)]
    for client in clients:
        client.ehlo()
        client.mail("eve@far.example")
        client.rcpt("joe@example.org")
        assert client.docmd("DATA")[0] == 354
    for pid in platform.pids_of("smtpd"):
        os.kill(pid, signal.SIGTERM)
    for client in clients:
        client.send(b"X: y\r\n\r\nHi.\r\n.\r\n")
        assert client.getreply()[0] == 250
        assert client.getreply()[0] == 421
        client.close()
    until(lambda: len(platform.maildir("joe@example.org")) == 8, WITHIN, "delivery")
    until(lambda: is_ready(platform), WITHIN, "readiness")
    send(platform)
    assert platform.stop() == 0


def test_ready_is_every_worker_ready(new_platform: NewPlatform) -> None:
    platform = new_platform("--processes", "--smtpd-workers=2").start()
    assert is_ready(platform)
    stopped = min(platform.pids_of("nats-server"))
    os.kill(stopped, signal.SIGKILL)
    reasons: dict[str, str] = {}

    def all_say_so() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            reasons.update(admin(platform, "/readyz").json()["reasons"])
        return {"smtpd-1: smtpd: bus", "smtpd-2: smtpd: bus"} <= set(reasons)

    until(all_say_so, WITHIN, "the word of both")
    until(lambda: is_ready(platform), WITHIN, "readiness")
    assert platform.stop() == 0


@pytest.mark.parametrize("mode", [(), ("--processes",)], ids=["one", "many"])
def test_listeners_of_one_s_own(
    new_platform: NewPlatform, monkeypatch: pytest.MonkeyPatch, mode: tuple[str, ...]
) -> None:
    """Over implicit TLS, on IPv6, behind a balancer; and after a kill on the same ports."""
    words = "six=submissions:[::1]:0 lb=submissions:127.0.0.1:0,proxy"
    monkeypatch.setenv("TUBEPOST_LISTENERS", words)
    platform = new_platform(*mode).start().with_accounts("joe")
    names = [word.partition("=")[0] for word in platform.ready_line.split()]
    assert names == ["ready", *LISTENERS, "lb", "six", "admin", "durability"]
    trust = ssl.create_default_context(cafile=platform.data / "tls.crt")
    trust.check_hostname = False
    for name in ("submissions", "six", "lb"):
        host, port = platform.addresses[name]
        with smtplib.SMTP_SSL(host.strip("[]"), port, context=trust, timeout=20) as client:
            client.login("joe@example.org", PASSWORD)
            client.sendmail("joe@example.org", ["joe@example.org"], f"X: {name}\r\n\r\nHi.\r\n")
    until(lambda: len(platform.maildir("joe@example.org")) == 3, WITHIN, "delivery")
    if mode:
        platform.kill9_service("smtpd")
        until(lambda: platform.runs("smtpd") and is_ready(platform), WITHIN, "restart")
        host, port = platform.addresses["six"]
        with smtplib.SMTP_SSL(host.strip("[]"), port, context=trust, timeout=20) as client:
            assert client.noop()[0] == 250
    assert platform.stop() == 0


@pytest.mark.parametrize(
    ("options", "listeners", "why"),
    [
        (("--smtpd-workers=2",), "", "--smtpd-workers: without --processes there is one process"),
        ((), "a=smtp:127.0.0.1:0", "TUBEPOST_LISTENERS: Value error, 'a=smtp:127.0.0.1:0': 'smtp'"),
        (("--processes",), "smtp=mx:127.0.0.1:0", "TUBEPOST_LISTENERS: Value error, 'smtp=mx:"),
    ],
)
def test_what_cannot_be_is_one_line_and_2(
    tmp_path: Path, options: tuple[str, ...], listeners: str, why: str
) -> None:
    free = [f"--{name}=127.0.0.1:0" for name in (*LISTENERS, "admin")]
    done = subprocess.run(
        [TUBEPOST, "up", f"--data={tmp_path / 'data'}", *free, *options],
        env={**os.environ, "TUBEPOST_LISTENERS": listeners},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"tubepost: {why}")
    assert "Traceback" not in done.stderr


def test_a_client_has_one_rate_whichever_worker_it_meets(new_platform: NewPlatform) -> None:
    """What one worker counts the other one hears, and then refuses by it."""
    platform = new_platform("--processes", "--smtpd-workers=2").start()
    platform.ok("control", "set", "smtprates", "mails:3/h")
    assert platform.stop() == 0
    platform.start()  # both workers know the setting before they listen
    for number in range(1, 4):
        assert mail_reply(platform) == 250
        until(partial(have_heard, platform, number), WITHIN, "the other worker's word")
    assert [mail_reply(platform) for _ in range(20)] == [450] * 20  # both of them: 2 to the 19th
    refused = by_worker(platform, "tubepost_smtp_refusals_total")
    assert set(refused) == {"1", "2"}
    assert sum(refused.values()) == 20
    assert platform.stop() == 0


def mail_reply(platform: Platform) -> int:
    with platform.smtp() as client:
        return client.mail("eve@far.example")[0]


def have_heard(platform: Platform, messages: int) -> bool:
    """So many messages about rates have come from one worker to the other."""
    page = text_string_to_metric_families(admin(platform, "/metrics").text)
    heard = [
        sample.value
        for family in page
        for sample in family.samples
        if sample.name == "tubepost_smtp_rate_messages_total"
        and sample.labels["direction"] == "heard"
    ]
    return sum(heard) >= messages
