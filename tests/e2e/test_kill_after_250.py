"""Promise 1: what got its 250 outlives kill -9 of every process, right after the last 250.

Mails of every form the queue knows: one destination, several destinations, a body inside its record
and one in chunks. Held: nothing was delivered before the kill, so each arrives exactly once.
Flowing: deliveries are under way; a mail may reach the sink twice only where it was there before
the kill (RFC 1047's window), and a Maildir never has it twice.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.platform import NewPlatform, Platform
from tests.e2e.sink import Received, Sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SENDERS = 4
LIMITS = ("concurrencylocal", "concurrencyremote")
LOCAL, FAR, OTHER = "joe@example.org", "x@far.example", "y@other.example"

Mail = tuple[str, list[str], bytes]
"""Mark, recipients, text."""

Record = Callable[[str, object], None]
Copy = tuple[str, str]
"""Mark, recipient: what has to arrive once."""


def mails() -> Iterator[Mail]:
    """38 for Joe, 20 for the sink, one of 1.5 MB for each, one for several destinations."""
    for number in range(60):
        to = LOCAL if number % 3 else FAR
        body = b"small" if number > 1 else b"large line\r\n" * 130_000
        yield text(f"m{number}", [to], body)
    yield text("several", [LOCAL, "ann@example.org", FAR, OTHER], b"for all of you")


def text(mark: str, to: list[str], body: bytes) -> Mail:
    return mark, to, b"X-Mark: %s\r\n\r\n%s\r\n" % (mark.encode(), body)


def send_all(platform: Platform, todo: list[Mail]) -> None:
    """Over a few connections at once; returns with the last 250."""

    def send(share: list[Mail]) -> None:
        with platform.smtp() as client:
            for _, recipients, content in share:
                assert client.sendmail("sender@client.example", recipients, content) == {}

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, [todo[n::SENDERS] for n in range(SENDERS)]))


def in_maildirs(platform: Platform) -> Counter[Copy]:
    found: Counter[Copy] = Counter()
    for address in (LOCAL, "ann@example.org"):
        for file in platform.maildir(address):
            found[mark_of(file.read_bytes()), address] += 1
    return found


def at_sink(received: list[Received]) -> Counter[Copy]:
    return Counter((mark_of(m.body), r) for m in received for r in m.recipients)


def mark_of(content: bytes) -> str:
    found = re.search(rb"^X-Mark: (\w+)\r?$", content, re.MULTILINE)
    assert found, content[:500]
    return found[1].decode()


def prepared(platform: Platform, sink: Sink) -> Platform:
    platform.start().with_accounts("joe", "ann")
    platform.ok("control", "set", "rcpthosts", "far.example", "other.example")
    routes = [sink.route("far.example"), sink.route("other.example")]
    platform.ok("control", "set", "smtproutes", *routes)
    return platform


@pytest.mark.parametrize("held", [True, False], ids=["held", "flowing"])
def test_no_mail_is_lost(
    held: bool, new_platform: NewPlatform, sink: Sink, record_property: Record
) -> None:
    platform = prepared(new_platform("--processes"), sink)
    if held:
        for limit in LIMITS:
            platform.ok("control", "set", limit, "0")
    todo = list(mails())
    with platform.ready_to_kill() as kill:
        send_all(platform, todo)
        kill()
    before = in_maildirs(platform) + at_sink(sink.wait_until_nobody_speaks(20))
    assert not (held and before)

    platform.start()
    if held:
        for limit in LIMITS:
            platform.ok("control", "unset", limit)
    platform.wait_for_empty_queue(90)
    arrived = in_maildirs(platform) + at_sink(sink.mails)

    wanted = Counter((mark, address) for mark, recipients, _ in todo for address in recipients)
    assert wanted - arrived == Counter(), "lost"
    assert set(arrived) == set(wanted)
    twice = {copy: n for copy, n in arrived.items() if n > 1}
    record_property("duplicates", len(twice))
    in_window = {copy: n for copy, n in before.items() if copy[1] in (FAR, OTHER)}
    assert {copy: n - 1 for copy, n in twice.items()}.items() <= in_window.items(), "duplicates"
    assert whole(platform, sink, todo)
    assert platform.stop() == 0


def whole(platform: Platform, sink: Sink, todo: list[Mail]) -> bool:
    """Whether every copy has the text that was sent."""
    sent = {mark: content for mark, _, content in todo}
    files = [f for a in (LOCAL, "ann@example.org") for f in platform.maildir(a)]
    copies = [f.read_bytes().replace(b"\n", b"\r\n") for f in files] + [m.body for m in sink.mails]
    return all(copy.endswith(sent[mark_of(copy)]) for copy in copies)
