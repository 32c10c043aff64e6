"""Every conversation in smtp/ against smtpd's listeners on a socket, over a real bus.

Those named submission-... speak to the submission listener, submissions to one with TLS from the
first octet, proxied-... to one behind a load balancer at 127.0.0.9. However one goes, the queue
then holds as many mails as the server has said `250 ok ... qp` to: no more, no less.
"""

import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ctl import certificate
from services.smtpd.facts import Kind
from tests.conversations.play import ConversationError, conversation, play
from tests.dns_server import DnsServer, serving_dns
from tests.smtpd.listening import listening
from tests.smtpd.running import Smtpd, running
from tubepost import subjects
from tubepost.certificates import DEFAULT, Certificates, Pair
from tubepost.dns_client import DnsClient
from tubepost.nats_bus import NatsBus
from tubepost.quota import Quota
from tubepost.relay_list import RelayList

FOLDER = Path(__file__).parent / "smtp"

TCPRULES = (
    '127.0.0.2:allow,RELAYCLIENT=""',
    "127.0.0.3:deny",
    '127.0.0.4:allow,RBLSMTPD="blocked, see http://blocked.example/"',
    '127.0.0.5:allow,RBLSMTPD="-go away"',
    '127.0.0.6:allow,DATABYTES="200"',
)
SETTINGS: dict[str, dict[str, str | tuple[str, ...]]] = {
    "auth-on-mx": {"authonmx": "1", "autholdline": "1"},
    "submission-auth-plaintext": {"authplaintext": "1", "authmechanisms": "login plain"},
    "submission-cram-md5": {"authmechanisms": "plain cram-md5"},
    "submission-sender-of-account": {"authmailfrom": "account"},
    "submission-sender-of-domain": {"authmailfrom": "domain"},
    "relay-list-sender": {"relaymailfrom": "account"},
    "overquota-refuse": {"overquota": "refuse"},
    "rate-connections": {"smtprates": "connections:2/h"},
    "rate-mails": {"smtprates": "mails:2/h"},
    "rate-recipients": {"smtprates": "recipients:2/h"},
    "rate-badrcpt": {"smtprates": "badrcpt:2/h"},
    "rate-errors": {"smtprates": "errors:3/h"},
    "rate-relayed": {"smtprates": "relayed:2/h"},
    "submission-rate": {"smtprates": "submitted:2/h"},
    "submission-rate-guessing": {"smtprates": "errors:3/h"},
    "dns-rbl": {"rbl": ("-a wl.example", "bl.example")},
    "dns-rbl-553": {"rbl": "bl.example:go away, %IP%", "rblcode": "553"},
    "dns-mfdnscheck": {"mfdnscheck": "1"},
    "dns-badmailfrom": {
        "badmailfrom": ("@pool.example=", "~pool.example", "@web.example+", "*%*", "?a%b@x.example")
    },
    "dns-badhelo": {"badhelo": ("localhost", "*.pool.example", "!mx.pool.example")},
    "dns-helocheck": {"helocheck": "M"},
    "dns-badrcptto": {"badrcptto": ("@far.example", "*spam*@example.net", "!nospam@example.net")},
    "dns-lookuphost": {"lookuphost": "1"},
    "proxied-lists": {"rbl": "bl.example", "smtprates": "badrcpt:1/h"},
    "greeting-by-setting": {"smtpgreeting": "mx1.example at your service"},
    "ehlo-by-setting": {"enhancedstatuscodes": "0", "databytes": "0"},
    "early-talker": {"greetdelay": "60"},
    "tarpit": {"tarpitcount": "1", "tarpitdelay": "999"},
    "timeout": {"timeoutsmtpd": "1", "timeoutdata": "1"},
    "relay-denied-text": {
        "relaydenied": "sorry, {domain} isn't allowed to be relayed thru this MTA (#5.7.1)"
    },
}
"""Control settings that only one file speaks of."""

LISTED = ("127.0.0.3", "127.0.0.7")
NO_MORE_LISTED = "127.0.0.8"

VARIABLES = {
    "x65": "x" * 65,
    "x250": "x" * 250,
    "e130": "é" * 130,
    "x101": "x" * 101,
    "x301": "x" * 301,
    "x501": "x" * 501,
    "x2000": "x" * 2000,
    "x5000": "x" * 5000,
    "x70000": "x" * 70_000,
    "lines6000": ("x" * 98 + "\\r\\n") * 60,
    "hops99": "Received: by x\\r\\n" * 99,
}


ZONE = """
11.0.0.127.bl.example. IN A 127.0.0.2
11.0.0.127.bl.example. IN TXT "listed, see http://bl.example/?ip=127.0.0.11"
12.0.0.127.bl.example. IN A 127.255.255.254
13.0.0.127.bl.example. IN A 127.0.0.2
13.0.0.127.wl.example. IN A 127.0.0.2
14.0.0.127.in-addr.arpa. IN PTR dial14.pool.example.
sender.example. IN MX 10 mail.sender.example.
null.example. IN MX 0 .
"""
"""What the name server of the conversations named dns-... knows; dead.example does not answer."""


async def set_up(smtpd: Smtpd) -> None:
    """Three have mailboxes here, ann and bob log in, and the settings the files speak of."""
    await smtpd.set(
        me="mail.example",
        databytes="5000",
        maxrcpt="3",
        maxline="2048",
        maxheader="3000",
        badmailfrom=("spam@example.com", "@bad.example"),
        rcpthosts=("backup.example", ".sub.example"),
        tcprules=TCPRULES,
        localips=("192.0.2.1", "2001:db8::1"),
        localiphost="example.net",
        doublebouncehost="operator.example",
        proxynetworks="127.0.0.9",
    )
    await smtpd.add_accounts("ann@example.net", "ann-lee@example.net", "bob@example.net")
    await smtpd.answer_logins(bob="correct horse", ann="staple battery")
    await smtpd.add_quota("full@example.net", Quota(5000))
    await smtpd.bus.answer(subjects.QUOTA_ROOM, _used_4000)
    for ip in LISTED:
        await smtpd.relay_list.add(ip, user="bob@example.net", window=3600, by="test")
    an_hour_ago = RelayList(smtpd.bus, lambda: time.time() - 3600)
    await an_hour_ago.add(NO_MORE_LISTED, user="bob@example.net", window=3599, by="test")


async def _used_4000(_subject: str, _data: bytes) -> bytes:
    return b'{"used": 4000}'


@pytest.fixture(scope="session")
def cert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    found, key, _ = certificate.ensure(tmp_path_factory.mktemp("tls"), "mail.example")
    return found, key


def ask(zone: DnsServer) -> DnsClient:
    zone.failing = {("dead.example", "*")}
    return DnsClient(["127.0.0.1"], port=zone.port)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
async def test_conversation(path: Path, bus: NatsBus, cert: tuple[Path, Path]) -> None:
    tls = Certificates(Pair(DEFAULT, *cert)).context
    async with AsyncExitStack() as stack:
        zone = await stack.enter_async_context(serving_dns(ZONE))
        smtpd = await stack.enter_async_context(running(bus, tls, dns=ask(zone)))
        await set_up(smtpd)
        await smtpd.set(**SETTINGS.get(path.stem, {}))
        listener = "submission" if path.stem.startswith("submission") else "smtp"
        port = smtpd.ports[listener]
        if path.stem == "submissions":
            port = await stack.enter_async_context(listening(smtpd, Kind.SUBMISSIONS, tls))
        if path.stem.startswith("proxied"):
            port = await stack.enter_async_context(listening(smtpd, Kind.MX, proxy=True))
        await play(path, "127.0.0.1", port, variables=VARIABLES)
        accepted = [line for line in conversation(path, VARIABLES) if " qp " in line.text]
        assert len(await smtpd.mails()) == len(accepted)


async def test_the_files_are_told_from_what_the_server_says(
    tmp_path: Path, bus: NatsBus, cert: tuple[Path, Path]
) -> None:
    path = tmp_path / "sample.txt"
    path.write_text("# why\nS: 220 mail.example ESMTP\nC: NOOP\nS: 250 OK\n")
    async with running(bus, Certificates(Pair(DEFAULT, *cert)).context) as smtpd:
        with pytest.raises(ConversationError, match="line 4"):
            await play(path, "127.0.0.1", smtpd.ports["smtp"])
