"""What the server refuses to each service, by the rights of tubepost.permissions.

A refusal is read from the server's complaint, which comes at once; a call on the bus times out.
"""

import asyncio

import pytest
from nats.errors import Error as NatsError

from tests.conftest import PLAN
from tests.contracts.guarded import SERVICES, Connect, Guarded
from tests.contracts.reading import PATIENCE, reading, subjects_of, until_caught_up
from tests.fakes import FakeClock
from tests.nats_server import raw_client
from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.permissions import rights
from tubepost.relay_list import RelayList

CLIENT = "198.51.100.7"

NO_STREAMS = (
    "$JS.API.STREAM.CREATE.X",
    "$JS.API.STREAM.UPDATE.QUEUE_0",
    "$JS.API.STREAM.DELETE.QUEUE_0",
    "$JS.API.STREAM.PURGE.MAIL",
    "$JS.API.STREAM.MSG.DELETE.QUEUE_0",
    "$JS.API.STREAM.SNAPSHOT.QUEUE_0",
    "$JS.API.CONSUMER.CREATE.MAIL",
    "$JS.API.CONSUMER.CREATE.QUEUE_0",
    "$JS.API.CONSUMER.DURABLE.CREATE.DISPATCH.x",
    "$JS.API.CONSUMER.DELETE.DISPATCH.local",
    "$KV.leases.sched.0",
    "$SYS.REQ.SERVER.PING",
    "d.local.0.m.0",
    "d.remote.0.m.0",
)
NO_SETTINGS = ("$KV.relay.v4.198.51.100.7", "$KV.directory.domain.x", "$KV.control.tcprules")
NO_QUEUE_READS = (
    "$JS.API.DIRECT.GET.QUEUE_0.q.0.m.0",
    "$JS.API.STREAM.MSG.GET.QUEUE_0",
    "$JS.API.STREAM.PURGE.QUEUE_0",
    "$JS.API.DIRECT.GET.MAIL.mail.m.0",
    "$JS.API.STREAM.MSG.GET.MAIL",
)
NO_PASSWORDS = (
    "$JS.API.CONSUMER.CREATE.KV_directory",
    "$JS.API.DIRECT.GET.KV_directory.$KV.directory.account.x.y",
    "$JS.API.STREAM.MSG.GET.KV_directory",
)
NO_HOSTS = (
    "$JS.API.CONSUMER.CREATE.KV_hosts",
    "$JS.API.STREAM.MSG.GET.KV_hosts",
    "$KV.hosts.v4.192.0.2.7.25",
)
NO_SECRETS = (
    "$JS.API.CONSUMER.CREATE.KV_secrets",
    "$JS.API.CONSUMER.MSG.NEXT.KV_secrets.x",
    "$JS.API.DIRECT.GET.KV_secrets.$KV.secrets.account.x.y",
    "$JS.API.STREAM.MSG.GET.KV_secrets",
    "$KV.secrets.account.x.y",
)
NO_SUPPRESSIONS = (
    "$JS.API.CONSUMER.CREATE.KV_suppressed",
    "$JS.API.DIRECT.GET.KV_suppressed.$KV.suppressed.x",
    "$KV.suppressed.x",
)
RATES = (subjects.RATES, subjects.RATES_WANTED, subjects.rates_for("x"))
JOBS = "$JS.API.CONSUMER.MSG.NEXT.DISPATCH"
MUST_NOT_PUBLISH = {
    "smtpd": (*NO_STREAMS, *NO_SETTINGS, *NO_HOSTS, *NO_SECRETS, *NO_QUEUE_READS, "w.done.0",
              *NO_SUPPRESSIONS, "ctl.0.list", "event.queue", f"{JOBS}.local"),
    "scheduler": (*NO_SETTINGS, *RATES, "$KV.hosts.v4.192.0.2.7.25", "$KV.secrets.account.x.y",
                  "$KV.suppressed.x"),
    "local": (*NO_STREAMS, *NO_SETTINGS, *NO_HOSTS, *NO_SECRETS, *RATES, "auth.check",
              *NO_SUPPRESSIONS, f"{JOBS}.remote", "$JS.ACK.DISPATCH.remote.1.1.1.1.1",
              "$JS.API.DIRECT.GET.KV_relay.x"),
    "remote": (*NO_STREAMS, *NO_SETTINGS, *NO_SECRETS, *RATES, *NO_PASSWORDS, "auth.check",
               "mail.m.0",
               f"{JOBS}.local", "$JS.ACK.DISPATCH.local.1.1.1.1.1"),
    "popauth": (*NO_STREAMS, *NO_SUPPRESSIONS,
                *RATES, *NO_QUEUE_READS, "q.0.m.0", "mail.m.0", f"{JOBS}.local",
                "event.mail.abc"),
}  # fmt: skip
MUST_NOT_SUBSCRIBE = (
    ">", "*", "_INBOX.>", "q.>", "mail.>", "d.>", "$KV.>", "$JS.API.>", "$JS.ACK.>", "$SYS.>",
)  # fmt: skip


def test_the_tables_name_every_service() -> None:
    assert set(MUST_NOT_PUBLISH) == set(SERVICES) == set(rights(PLAN.shards))


@pytest.mark.parametrize("service", SERVICES)
async def test_the_server_refuses_to_publish(
    connect: Connect, guarded: Guarded, service: str
) -> None:
    inboxes = [f"_INBOX_{other}.x" for other in SERVICES]
    async with raw_client(guarded.url, service, guarded.passwords[service]) as raw:
        for subject in (*MUST_NOT_PUBLISH[service], *inboxes):
            await raw.client.publish(subject, b"{}")
            assert await raw.refused(subject), subject


@pytest.mark.parametrize("service", SERVICES)
async def test_the_server_refuses_to_subscribe(guarded: Guarded, service: str) -> None:
    """Nobody hears another's answers, or a stream's subjects beside the stream."""
    others = [f"_INBOX_{other}.>" for other in SERVICES if other != service]
    heard = {"popauth": "auth.check", "local": "w.inflight.*", "remote": "w.inflight.*"}
    questions = [s for s in (subjects.AUTH_CHECK, subjects.INFLIGHT_ANY) if s != heard.get(service)]
    questions += [] if service == "remote" else [subjects.SITE, subjects.HOSTS_RESET]
    async with raw_client(guarded.url, service, guarded.passwords[service]) as raw:
        for subject in (*MUST_NOT_SUBSCRIBE, *others, *questions):
            for group in ("", "workers"):
                await raw.client.subscribe(subject, queue=group)
                assert await raw.refused(subject), subject


@pytest.mark.usefixtures("short_calls")
async def test_what_is_refused_is_unavailable_and_not_stored(
    connect: Connect, complaints: list[str]
) -> None:
    smtpd, local, popauth, scheduler = [
        await connect(s) for s in ("smtpd", "local", "popauth", "scheduler")
    ]
    await scheduler.append("mail.m.0", b"secret")
    calls = [
        RelayList(smtpd, FakeClock()).add(CLIENT, user="x", window=60, by="x"),
        smtpd.read("MAIL", "mail.m.0"),
        smtpd.read("MAIL", "mail.m.0", leader=True),
        smtpd.purge("QUEUE_0", "q.0.m.0"),
        local.append("d.local.0.m.0", b"1"),
        popauth.append("q.0.m.0", b"x"),
    ]
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * len(calls)
    assert len(complaints) == len(calls)
    for stream in ("KV_relay", "QUEUE_0"):
        async with reading(scheduler.follow(stream, ">")) as items:
            assert subjects_of(await until_caught_up(items)) == []
    assert await scheduler.read("DISPATCH", "d.local.0.m.0", leader=True) is None


REPLIES = (
    "permissions.py _reads: the server sends an answer to whatever reply subject the question "
    "names, and a stream stores it there: reading a bucket is writing anywhere"
)


async def answered_to(asker: NatsBus, scheduler: NatsBus, copy: tuple[str, str], to: str) -> bytes:
    """What is stored on `to` after a read of (stream, subject) with `to` as its reply subject."""
    stream, subject = copy
    await asker.client.publish(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", reply=to)
    for _ in range(3):  # the answer comes before the answers of what is asked later
        await asker.read("KV_control", "$KV.control.none", leader=True)
    kind = "QUEUE_0" if to.startswith("q.") else "KV_directory"
    found = await scheduler.read(kind, to, leader=True)
    assert found is not None
    return found.data


@pytest.mark.xfail(strict=True, reason=REPLIES)
async def test_smtpd_cannot_copy_a_password_by_a_reply_subject(connect: Connect) -> None:
    smtpd, popauth, scheduler = [await connect(s) for s in ("smtpd", "popauth", "scheduler")]
    mine, victim = "$KV.directory.account.org.mine", "$KV.directory.account.org.victim"
    await popauth.append(mine, b"mine")
    await popauth.append(victim, b"victim")
    assert await answered_to(smtpd, scheduler, ("KV_directory", mine), victim) == b"victim"


@pytest.mark.xfail(strict=True, reason=REPLIES)
async def test_popauth_cannot_change_the_queue_by_a_reply_subject(connect: Connect) -> None:
    popauth, scheduler = await connect("popauth"), await connect("scheduler")
    await scheduler.append("q.0.m.0", b"mail", headers={"Tubepost": "{}"})
    await popauth.append("$KV.control.forged", b"forged", headers={"Tubepost": "{}"})
    forged = ("KV_control", "$KV.control.forged")
    assert await answered_to(popauth, scheduler, forged, "q.0.m.0") == b"mail"


@pytest.mark.parametrize(("user", "password"), [("", ""), ("smtpd", "wrong"), ("nobody", "x")])
async def test_nobody_comes_in_without_a_password(
    connect: Connect, guarded: Guarded, user: str, password: str
) -> None:
    with pytest.raises((NatsError, TimeoutError)):
        async with raw_client(guarded.url, user, password):
            pass


def test_the_configuration_is_for_this_user_only(guarded: Guarded) -> None:
    assert len(set(guarded.passwords.values())) == len(SERVICES)
    assert all(len(password) >= 32 for password in guarded.passwords.values())
