"""The least rights of tubepost.permissions on the server `tubepost up` configures.

Each service does its work there, and the server itself refuses what it must not do. A refusal is
read from the server's complaint, which comes at once; a call through the bus only times out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import pytest
from nats.errors import Error as NatsError

from ctl import embedded
from tests.conftest import PLAN
from tests.contracts.reading import PATIENCE, reading, subjects_of, until_caught_up
from tests.fakes import FakeClock
from tests.nats_server import NatsServer, raw_client, remove_streams
from tubepost import maillog, subjects
from tubepost.control import Control
from tubepost.delivery import Mail, Worker
from tubepost.directory import Directory, domain_key
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.permissions import rights
from tubepost.provision import provision
from tubepost.record import INLINE_LIMIT, Envelope, State
from tubepost.relay_list import RelayList
from tubepost.routing import Route

SERVICES = ("smtpd", "scheduler", "remote", "local", "popauth")
ROUTES = {"local": Route("local", "example.org"), "remote": Route("remote", "example.net")}
CLIENT = "198.51.100.7"
MAIL_ID = "018bcfe56800000000abcd"
Connect = Callable[[str], Awaitable[NatsBus]]


class Guarded(NatsServer):
    """The server of `tubepost up`, with a user for each service."""

    def __init__(self, config: embedded.Embedded) -> None:
        super().__init__(config.command, config.url)
        self.passwords = config.passwords


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = Guarded(embedded.prepare(tmp_path_factory.mktemp("guarded"), PLAN.shards))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def connect(guarded: Guarded) -> AsyncIterator[Connect]:
    """A bus of any service's user; scheduler has made the streams."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect_as(service: str) -> NatsBus:
            bus = await guarded.connect(service, guarded.passwords[service])
            stack.push_async_callback(bus.close)
            return bus

        scheduler = await connect_as("scheduler")
        await provision(scheduler.client, PLAN)
        stack.push_async_callback(remove_streams, scheduler.client)
        yield connect_as


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the server refused to anybody's bus: nothing where a service does its own work."""
    found: list[str] = []
    monkeypatch.setattr(maillog, "bus_error", found.append)
    return found


# --- what each must be able to do


@pytest.mark.parametrize("size", [100, INLINE_LIMIT + 1])
async def test_smtpd_takes_mail_in(connect: Connect, complaints: list[str], size: int) -> None:
    smtpd, popauth = await connect("smtpd"), await connect("popauth")
    await RelayList(popauth, FakeClock()).add(CLIENT, user="joe@example.org", window=60, by="pop")
    await answering(popauth, subjects.AUTH_CHECK, "popauth")
    store = MailStore(smtpd, PLAN.shards)
    envelope = Envelope("a@b.c", ("joe@example.org",))
    await store.accept(envelope, [ROUTES["local"]], b"x" * size, mail_id=MAIL_ID, now=1.7e9)
    assert await RelayList(smtpd, FakeClock()).lookup(CLIENT) is not None
    assert await RelayList(smtpd, FakeClock()).lookup("198.51.100.8") is None
    assert await smtpd.ask(subjects.AUTH_CHECK, b"{}") == b"yes"
    assert await smtpd.store_usage() is not None
    assert complaints == []


async def _yes(_subject: str, _data: bytes) -> bytes:
    return b"yes"


async def answering(bus: NatsBus, subject: str, group: str = "") -> None:
    """Answers yes; the server knows of it when this returns."""
    await bus.answer(subject, _yes, group=group)
    await bus.read("KV_control", "$KV.control.none")


class OneCourier:
    """Says the same for every recipient, and notes what it was given."""

    def __init__(self, says: Outcome) -> None:
        self.says = says
        self.given: list[Mail] = []

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        self.given.append(mail)
        return dict.fromkeys(mail.recipients, self.says)


@pytest.mark.parametrize("channel", subjects.CHANNELS)
@pytest.mark.parametrize("size", [100, INLINE_LIMIT + 1])
@pytest.mark.parametrize("says", [Delivered(text="ok"), Deferred(text="busy")])
async def test_scheduler_and_worker_deliver(
    connect: Connect, complaints: list[str], channel: str, size: int, says: Outcome
) -> None:
    smtpd, scheduler, worker = [await connect(s) for s in ("smtpd", "scheduler", channel)]
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(_subject: str, data: bytes) -> None:
        ended.put_nowait(data)

    await scheduler.answer(subjects.DONE_HINT_ANY, hear)
    courier = OneCourier(says)
    store = MailStore(worker, PLAN.shards)
    stopping = asyncio.Event()
    working = Worker(
        worker,
        store,
        channel,
        courier,
        slots=4,
        clock=FakeClock(),
        lifetime=lambda: 604_800.0,
    )
    running = asyncio.create_task(working.run(stopping))
    route = ROUTES[channel]
    envelope = Envelope("a@b.c", (f"joe@{route.destination}",))
    key = await MailStore(smtpd, PLAN.shards).accept(
        envelope, [route], b"x" * size, mail_id=MAIL_ID, now=1.7e9
    )
    stream = subjects.queue_stream(key.shard)
    async with reading(scheduler.follow(stream, ">", headers_only=True)) as items:
        (unit,) = await until_caught_up(items)
        await scheduler.append(key.job(channel), str(unit.seq).encode(), expect=0)
        inline_end = isinstance(says, Delivered) and size <= INLINE_LIMIT
        async with asyncio.timeout(PATIENCE):
            await (ended.get() if inline_end else items.next())
    stopping.set()
    await running
    assert [len(mail.body) for mail in courier.given] == [size]
    left = await MailStore(scheduler, PLAN.shards).read(key)
    assert (left is None) == inline_end
    if left and isinstance(says, Delivered):
        await MailStore(scheduler, PLAN.shards).forget_body(MAIL_ID)
        await MailStore(scheduler, PLAN.shards).forget(left)
    elif left:
        assert (left.record.state, left.record.attempts) == (State.PENDING, 1)
    assert await _job_is_over(scheduler, key.job(channel))
    assert complaints == []


async def _job_is_over(scheduler: NatsBus, job: str) -> bool:
    """An ack is not waited for; it came on the worker's connection before it closed."""
    async with asyncio.timeout(PATIENCE):
        while await scheduler.read(subjects.DISPATCH, job, leader=True):
            await asyncio.sleep(0.01)
    return True


async def test_a_worker_answers_what_it_holds(connect: Connect, complaints: list[str]) -> None:
    scheduler, local, remote = [await connect(s) for s in ("scheduler", "local", "remote")]
    await answering(remote, subjects.INFLIGHT_ANY)
    await answering(local, subjects.INFLIGHT_ANY)
    for asker in (scheduler, local, remote):
        assert await asker.ask_all(subjects.inflight(1), seconds=0.3) == [b"yes", b"yes"]
    assert complaints == []


async def test_scheduler_leases_a_shard_and_shows_it(
    connect: Connect, complaints: list[str]
) -> None:
    scheduler = await connect("scheduler")
    revision = await scheduler.append(subjects.lease(0), b"me", expect=0, ttl=10)
    revision = await scheduler.append(subjects.lease(0), b"me", expect=revision, ttl=10)
    await scheduler.purge("KV_leases", subjects.lease(0), through=revision)
    await answering(scheduler, subjects.VIEW_ANY)
    assert await scheduler.ask_all(subjects.view(0, "list"), seconds=0.2) == [b"yes"]
    assert complaints == []


async def test_popauth_writes_directory_control_and_relay(
    connect: Connect, complaints: list[str]
) -> None:
    popauth = await connect("popauth")
    relay_list = RelayList(popauth, FakeClock())
    revision = await Bucket(popauth, "directory").put(domain_key("example.org"), {}, expect=0)
    await Bucket(popauth, "directory").put(domain_key("example.org"), None, expect=revision)
    await Bucket(popauth, "control").put("me", {"lines": ["mx.example.org"]})
    await relay_list.add(CLIENT, user="joe", window=60, by="pop-1")
    assert [entry.ip for entry in await relay_list.entries()] == [CLIENT]
    assert complaints == []


@pytest.mark.parametrize("service", ["smtpd", "scheduler", "local", "popauth"])
async def test_these_follow_the_directory(
    connect: Connect, complaints: list[str], service: str
) -> None:
    popauth, reader = await connect("popauth"), await connect(service)
    await Bucket(popauth, "directory").put(domain_key("example.org"), {})
    directory = Directory(reader)
    running = asyncio.create_task(directory.run())
    async with asyncio.timeout(PATIENCE):
        await directory.mirror.loaded.wait()
    assert directory.domain_names() == ["example.org"]
    assert await directory.confirmed_domain("example.net") is False
    running.cancel()
    assert complaints == []


@pytest.mark.parametrize("service", SERVICES)
async def test_all_follow_control(connect: Connect, complaints: list[str], service: str) -> None:
    popauth, reader = await connect("popauth"), await connect(service)
    await Bucket(popauth, "control").put("me", {"lines": ["mx.example.org"]})
    control = Control(reader, "hostname")
    running = asyncio.create_task(control.run())
    async with asyncio.timeout(PATIENCE):
        await control.mirror.loaded.wait()
    assert control.me == "mx.example.org"
    running.cancel()
    assert complaints == []


# --- what each must not be able to do

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
JOBS = "$JS.API.CONSUMER.MSG.NEXT.DISPATCH"
MUST_NOT_PUBLISH = {
    "smtpd": (*NO_STREAMS, *NO_SETTINGS, *NO_QUEUE_READS, "w.done.0", "ctl.0.list", f"{JOBS}.local"),
    "scheduler": NO_SETTINGS,
    "local": (*NO_STREAMS, *NO_SETTINGS, "auth.check", "mail.m.0", f"{JOBS}.remote",
              "$JS.ACK.DISPATCH.remote.1.1.1.1.1", "$JS.API.DIRECT.GET.KV_relay.x"),
    "remote": (*NO_STREAMS, *NO_SETTINGS, *NO_PASSWORDS, "auth.check", "mail.m.0",
               f"{JOBS}.local", "$JS.ACK.DISPATCH.local.1.1.1.1.1"),
    "popauth": (*NO_STREAMS, *NO_QUEUE_READS, "q.0.m.0", "mail.m.0", f"{JOBS}.local"),
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
