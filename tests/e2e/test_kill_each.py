"""Each process may be killed while mail flows: it comes back, and every accepted mail arrives.

A client that got no 250 sends again, so a mail may come twice to the sink; to a Maildir it may not
unless it was accepted twice. What counts here: nothing is lost, and nobody has to step in.
"""

import re
import smtplib
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.platform import Platform, until
from tests.e2e.sink import Sink, listening

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

JOE, FAR = "joe@example.org", "ann@far.example"
MAILS = 30
SERVICES = ("local", "remote", "scheduler", "smtpd", "popauth")


class Sender(threading.Thread):
    """Sends MAILS mails one by one, as a client with a queue: again until there is a 250."""

    def __init__(self, platform: Platform, load: str) -> None:
        super().__init__(daemon=True)
        self._platform, self._load = platform, load
        self.half_way = threading.Event()
        self.accepted: Counter[str] = Counter()

    def run(self) -> None:
        for number in range(MAILS):
            mark = f"{self._load}{number}"
            while not self._sent(mark, FAR if number % 2 else JOE):
                pass  # refused or cut off: once more
            self.accepted[mark] += 1
            if number == MAILS // 2:
                self.half_way.set()

    def _sent(self, mark: str, to: str) -> bool:
        try:
            with self._platform.smtp() as client:
                client.sendmail("eve@client.example", [to], f"X-Mark: {mark}\r\n\r\nHi.\r\n")
        except (OSError, smtplib.SMTPException):
            return False
        return True


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with listening() as sink:
        yield sink


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("each") / "data", "--processes")
    try:
        platform.start().with_accounts("joe")
        platform.ok("control", "set", "rcpthosts", "far.example")
        platform.ok("control", "set", "smtproutes", sink.route("far.example"))
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


def arrived(platform: Platform, sink: Sink) -> set[str]:
    """The marks of all mails that are where they should be."""
    contents = [file.read_bytes() for file in platform.maildir(JOE)]
    contents += [mail.body for mail in sink.mails]
    return {found.decode() for c in contents for found in re.findall(rb"^X-Mark: (\w+)", c, re.M)}


def kill_under_load(platform: Platform, victim: str) -> set[str]:
    """Kills it half way through a load; the marks that were accepted."""
    before = platform.pid_of(victim)
    sender = Sender(platform, re.sub(r"\W", "", victim))
    sender.start()
    assert sender.half_way.wait(60)
    platform.kill9_service(victim)
    until(lambda: platform.runs(victim) and platform.pid_of(victim) != before, 30, "its return")
    sender.join(120)
    assert not sender.is_alive(), f"no mail is accepted any more after the end of {victim}"
    return set(sender.accepted)


def test_any_service_may_be_killed(platform: Platform, sink: Sink) -> None:
    """A killed worker's jobs are handed out again after a minute: all wait for it together."""
    accepted = set().union(*(kill_under_load(platform, victim) for victim in SERVICES))
    assert len(accepted) == MAILS * len(SERVICES)
    until(lambda: accepted <= arrived(platform, sink), 100, "the arrival of every accepted mail")
    platform.wait_for_empty_queue(90)


def test_the_nats_server_may_be_killed(platform: Platform, sink: Sink) -> None:
    accepted = kill_under_load(platform, "nats-server")
    assert len(accepted) == MAILS
    until(lambda: accepted <= arrived(platform, sink), 100, "the arrival of every accepted mail")
    platform.wait_for_empty_queue(90)
