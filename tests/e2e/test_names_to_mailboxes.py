"""From a zone to the hosts it names: `tubepost up` with nsd as its name server.

The hosts are addresses of loopback, another net for each process, so that runs do not meet. They
listen on another port than 25: there remote would take loopback for itself.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.platform import Platform, until
from tests.e2e.real_peers import free_port, running
from tests.e2e.sink import Sink, listening
from tests.e2e.tools import require

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="all of 127/8 is loopback on Linux alone"),
]

JOE = "joe@example.org"
NET = f"127.{os.getpid() // 250 % 250 + 2}.{os.getpid() % 250 + 2}"
LIVE, DEAD, GREY, BACKUP = (f"{NET}.{last}" for last in (1, 2, 3, 4))
LATER, NO = "450 4.2.0 greylisted, come back later", "550 5.1.1 there is no bob here"

ZONE = f"""\
$ORIGIN nsd.example.
@ 300 IN SOA ns admin 1 300 300 300 5
@ 300 IN NS ns
ns IN A 127.0.0.1

live IN A {LIVE}
dead IN A {DEAD}
grey IN A {GREY}
backup IN A {BACKUP}
both IN AAAA ::1
both IN A {LIVE}

good IN MX 10 live
prefers IN MX 20 backup
prefers IN MX 10 live
falls-back IN MX 10 dead
falls-back IN MX 20 backup
half-known IN MX 10 unknown
half-known IN MX 20 backup
alias IN CNAME good
to-alias IN MX 10 live-alias
live-alias IN CNAME live
two-families IN MX 10 both
greylists IN MX 10 grey
takes-none IN MX 0 .
no-address IN TXT "nothing else"
unknown-mx IN MX 10 unknown
all-dead IN MX 10 dead
"""

CONF = """\
server:
  ip-address: 127.0.0.1
  port: {port}
  username: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: "nsd.example"
  zonefile: "nsd.example"
zone:
  name: "broken.example"
  zonefile: "missing"
"""


@dataclass(frozen=True)
class World:
    """The platform, and the other hosts."""

    platform: Platform
    api: httpx.Client
    live: Sink
    backup: Sink
    grey: Sink

    def send(self, *to: str) -> str:
        """A mail from joe; its id."""
        with self.platform.smtp() as client:
            client.ehlo()
            client.mail(JOE)
            for address in to:
                assert client.rcpt(address)[0] == 250
            _, reply = client.data(f"From: {JOE}\r\nSubject: to {to[0]}\r\n\r\nHi.\r\n".encode())
        return reply.decode().split()[-1]

    def attempts(self, mail_id: str) -> list[dict[str, Any]]:
        """Of each recipient, in the order of time."""
        answer = self.api.get("/v1/events", params={"mail": mail_id})
        events = answer.json()["events"] if answer.is_success else []
        attempts = [e for e in events if e["event"] == "attempt" and e["mail"] == mail_id]
        return [recipient for e in attempts for recipient in e["recipients"]]

    def outcome(self, to: str, count: int = 1) -> dict[str, Any]:
        """What the attempt says that a new mail to one address comes to."""
        mail_id = self.send(to)
        until(lambda: len(self.attempts(mail_id)) >= count, 30, f"the attempt at {to}")
        return self.attempts(mail_id)[count - 1]

    def bounce(self, to: str) -> EmailMessage:
        """The one about a mail to `to`, once joe has it."""

        def found() -> list[EmailMessage]:
            files = (path.read_bytes() for path in self.platform.maildir(JOE))
            mails = [message_from_bytes(octets, policy=policy.default) for octets in files]
            return [m for m in mails if isinstance(m, EmailMessage) and f"<{to}>:" in text(m)]

        until(lambda: bool(found()), 30, f"the bounce of {to}")
        [mail] = found()
        return mail


def text(mail: EmailMessage) -> str:
    """The part for people."""
    part = next(iter(mail.iter_parts()), mail)
    return str(part.get_content()) if isinstance(part, EmailMessage) else ""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("names")
    with ExitStack() as stack:
        port = stack.enter_context(name_server(folder))
        smtp = free_port()
        hosts = [stack.enter_context(listening(ip, smtp)) for ip in (LIVE, BACKUP, GREY)]
        platform = Platform(folder / "data")
        stack.callback(platform.release)
        platform.environment = {
            "TUBEPOST_NAMESERVERS": "127.0.0.1",
            "TUBEPOST_NAMESERVER_PORT": str(port),
            "TUBEPOST_DNS_SECONDS": "5",
            "TUBEPOST_MX_PORT": str(smtp),
        }
        platform.start().with_accounts("joe")
        platform.ok("control", "set", "tcprules", '127.:allow,RELAYCLIENT=""')
        platform.ok("control", "set", "retryschedule", "exponential 1 2 10")
        api = stack.enter_context(client(platform))
        yield World(platform, api, *hosts)
        assert platform.stop() == 0


def client(platform: Platform) -> httpx.Client:
    """For /v1: the command takes a second to start, which is long for what is asked often."""
    address, token = ((platform.data / name).read_text().strip() for name in ("admin", "token"))
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"http://{address}", headers=headers, timeout=30)


@contextmanager
def name_server(folder: Path) -> Iterator[int]:
    """nsd with ZONE; its port. It has no file for broken.example, and refuses all other names."""
    nsd, home = require("nsd", "nsd"), folder / "nsd"
    home.mkdir()
    port = free_port()
    (home / "nsd.example").write_text(ZONE)
    (home / "nsd.conf").write_text(CONF.format(port=port, folder=home))
    log = home / "log"
    command = [nsd, "-d", "-c", str(home / "nsd.conf")]
    with running(command, lambda: "nsd started" in log.read_text(), log):
        yield port


@pytest.mark.parametrize(
    ("domain", "ip"),
    [
        ("good", LIVE),
        ("live", LIVE),
        ("prefers", LIVE),
        ("falls-back", BACKUP),
        ("half-known", BACKUP),
        ("alias", LIVE),
        ("to-alias", LIVE),
        ("two-families", LIVE),
    ],
)
def test_mail_finds_its_host(world: World, domain: str, ip: str) -> None:
    to = f"ann@{domain}.nsd.example"
    outcome = world.outcome(to)
    assert (outcome["outcome"], outcome["peer"]) == ("success", ip), outcome
    host = world.live if ip == LIVE else world.backup
    assert to in [recipient for mail in host.mails for recipient in mail.recipients]


@pytest.mark.parametrize(
    ("domain", "status", "words"),
    [
        ("takes-none.nsd.example", "5.1.10", "takes no mail"),
        ("absent.nsd.example", "5.1.2", "couldn't find any host named absent.nsd.example"),
        ("no-address.nsd.example", "5.4.4", "couldn't find a mail exchanger or IP address"),
        ("unknown-mx.nsd.example", "5.4.4", "couldn't find a mail exchanger or IP address"),
    ],
)
def test_a_domain_that_takes_no_mail_bounces_it(
    world: World, domain: str, status: str, words: str
) -> None:
    to = f"ann@{domain}"
    outcome = world.outcome(to)
    assert (outcome["outcome"], outcome["status"]) == ("failure", status), outcome
    assert words in text(world.bounce(to))


@pytest.mark.parametrize("domain", ["broken.example", "of.another.server.example"])
def test_trouble_with_name_servers_defers(world: World, domain: str) -> None:
    """SERVFAIL, and REFUSED by a server that is not asked for that name."""
    outcome = world.outcome(f"ann@{domain}")
    assert (outcome["outcome"], outcome["status"]) == ("deferral", "4.1.2"), outcome


def test_a_domain_whose_hosts_are_all_dead_waits(world: World) -> None:
    outcome = world.outcome("ann@all-dead.nsd.example")
    assert (outcome["outcome"], outcome["status"]) == ("deferral", "4.4.1"), outcome
    assert f"{DEAD}: connection refused" in outcome["text"]


def test_one_mail_to_a_dead_exchanger_a_greylister_and_an_unknown_user(world: World) -> None:
    dead, grey, bob = (
        f"{user}@{domain}.nsd.example"
        for user, domain in (("eve", "falls-back"), ("eve", "greylists"), ("bob", "good"))
    )
    world.live.answers["bob"] = NO
    world.grey.answers["eve"] = LATER
    mail_id = world.send(dead, grey, bob)

    def said(address: str) -> list[tuple[str, str]]:
        found = [a for a in world.attempts(mail_id) if a["address"] == address]
        return [(a["outcome"], a["status"]) for a in found]

    until(lambda: len(said(grey)) >= 1, 30, "the deferral")
    assert said(grey)[0] == ("deferral", "4.2.0")
    del world.grey.answers["eve"]
    [taken] = world.grey.wait_for(1, 30)
    assert taken.recipients == (grey,)
    until(lambda: said(grey)[-1][0] == "success", 30, "the second try")
    until(lambda: bool(said(dead) and said(bob)), 30, "the other two")
    assert [outcome for outcome, _ in said(dead)] == ["success"]
    assert said(bob) == [("failure", "5.1.1")]

    bounce = text(world.bounce(bob))
    assert f"{LIVE} does not like recipient." in bounce
    assert f"Remote host said: {NO}" in bounce
    assert f"Giving up on {LIVE}." in bounce
    assert grey not in bounce
    assert dead not in bounce
    log = world.platform.ok("log", "-n", "200")
    for words in (f"Remote host said: {NO}", f"Remote host said: {LATER}", f"{BACKUP} accepted"):
        assert words in log, log
