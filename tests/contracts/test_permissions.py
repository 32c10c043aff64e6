"""Each service does its work with the rights tubepost.permissions gives it.

The server is the one `tubepost up` configures. It must not refuse anything here: `complaints`.
"""

import asyncio
from collections.abc import Mapping

import pytest

from services.remote.host_health import SharedHealth
from services.remote.mx import Host
from services.remote.suppressions import Suppression, Suppressions
from tests.conftest import PLAN
from tests.contracts.guarded import SERVICES, Connect
from tests.contracts.reading import PATIENCE, reading, until_caught_up
from tests.fakes import FakeClock
from tubepost import subjects
from tubepost.address import Address
from tubepost.control import Control
from tubepost.delivery import Mail, Worker
from tubepost.directory import Directory
from tubepost.directory_values import domain_key
from tubepost.domains import Domains
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.pauses import Pauses
from tubepost.ports import Write
from tubepost.record import INLINE_LIMIT, Envelope, Note, State
from tubepost.relay_list import RelayList
from tubepost.retry import Rules
from tubepost.routing import Route
from tubepost.subjects import Key
from tubepost.tasks import background

ROUTES = {"local": Route("local", "example.org"), "remote": Route("remote", "example.net")}
CLIENT = "198.51.100.7"
MAIL_ID = "018bcfe56800000000abcd"


@pytest.mark.parametrize("size", [100, INLINE_LIMIT + 1])
async def test_smtpd_takes_mail_in(connect: Connect, complaints: list[str], size: int) -> None:
    smtpd, popauth = await connect("smtpd"), await connect("popauth")
    await RelayList(popauth, FakeClock()).add(CLIENT, user="joe@example.org", window=60, by="pop")
    await answering(popauth, subjects.AUTH_CHECK, "popauth")
    await answering(popauth, subjects.AUTH_HERE, "popauth")
    await answering(await connect("local"), subjects.QUOTA_ROOM, "local")
    await accept(smtpd, "local", size)
    assert await RelayList(smtpd, FakeClock()).lookup(CLIENT) is not None
    assert await RelayList(smtpd, FakeClock()).lookup("198.51.100.8") is None
    assert await smtpd.ask(subjects.AUTH_CHECK, b"{}") == b"yes"
    assert await smtpd.ask(subjects.AUTH_HERE, b"") == b"yes"
    assert await smtpd.ask(subjects.QUOTA_ROOM, b"joe@example.org") == b"yes"
    await Directory(smtpd).reach()
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


async def accept(smtpd: NatsBus, channel: str, size: int) -> Key:
    route = ROUTES[channel]
    envelope = Envelope("a@b.c", (f"joe@{route.destination}",))
    store = MailStore(smtpd, PLAN.shards)
    return await store.accept(envelope, [route], b"x" * size, mail_id=MAIL_ID, now=1.7e9)


def worker_on(bus: NatsBus, channel: str, courier: OneCourier) -> Worker:
    store = MailStore(bus, PLAN.shards)
    return Worker(bus, store, channel, courier, slots=4, clock=FakeClock(), rules=lambda: Rules())


async def send_job(scheduler: NatsBus, key: Key, channel: str) -> None:
    """As the shard's owner does: it follows the queue and hands out what it sees."""
    stream = subjects.queue_stream(key.shard)
    async with reading(scheduler.follow(stream, ">", headers_only=True)) as items:
        (unit,) = await until_caught_up(items)
    await scheduler.append(key.job(channel), subjects.job(unit.seq), expect=0)


async def job_is_over(scheduler: NatsBus, job: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await scheduler.read(subjects.DISPATCH, job, leader=True):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # an ack tells nobody that it came


@pytest.mark.parametrize("channel", subjects.CHANNELS)
@pytest.mark.parametrize("size", [100, INLINE_LIMIT + 1])
@pytest.mark.parametrize("says", [Delivered(text="ok"), Deferred(text="busy")])
async def test_scheduler_and_worker_deliver(
    connect: Connect, complaints: list[str], channel: str, size: int, says: Outcome
) -> None:
    smtpd, scheduler, worker = [await connect(s) for s in ("smtpd", "scheduler", channel)]
    courier, stopping = OneCourier(says), asyncio.Event()
    running = asyncio.create_task(worker_on(worker, channel, courier).run(stopping))
    key = await accept(smtpd, channel, size)
    await send_job(scheduler, key, channel)
    await job_is_over(scheduler, key.job(channel))
    stopping.set()
    await running
    left = await MailStore(scheduler, PLAN.shards).read(key)
    states = {Delivered: None if size <= INLINE_LIMIT else State.DONE, Deferred: State.PENDING}
    assert (left.record.state if left else None) == states[type(says)]
    assert [len(mail.body) for mail in courier.given] == [size]
    assert complaints == []


@pytest.mark.parametrize("size", [100, INLINE_LIMIT + 1])
@pytest.mark.parametrize("routes", [["remote"], ["local", "remote"]])
async def test_local_sends_mail_on(
    connect: Connect, complaints: list[str], size: int, routes: list[str]
) -> None:
    """In one unit or to be split, in its record or in pieces."""
    local, to = await connect("local"), [ROUTES[name] for name in routes]
    envelope = Envelope("a@b.c", tuple(f"joe@{route.destination}" for route in to))
    store = MailStore(local, PLAN.shards)
    key = await store.accept(envelope, to, b"x" * size, mail_id=MAIL_ID, now=1.7e9)
    held = await store.read(key)
    assert held is not None
    assert await store.body(held) == b"x" * size
    assert complaints == []


async def test_a_worker_tells_the_owner_of_the_end(connect: Connect, complaints: list[str]) -> None:
    scheduler, local, remote = [await connect(s) for s in ("scheduler", "local", "remote")]
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(_subject: str, data: bytes) -> None:
        heard.put_nowait(data)

    await scheduler.answer(subjects.DONE_HINT_ANY, hear)
    await scheduler.read("KV_control", "$KV.control.none")
    for worker in (local, remote):
        await MailStore(worker, PLAN.shards).tell_gone(Key(1, "m", "0"), 7)
        async with asyncio.timeout(PATIENCE):
            assert subjects.parse_hint(await heard.get()) == (Key(1, "m", "0"), 7)
    assert complaints == []


async def test_smtpd_tells_another_smtpd_its_rates(connect: Connect, complaints: list[str]) -> None:
    one, two = await connect("smtpd"), await connect("smtpd")
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(subject: str, data: bytes) -> None:
        heard.put_nowait((subject, data))

    told = (subjects.RATES, subjects.RATES_WANTED, subjects.rates_for("two"))
    for subject in told:
        await two.answer(subject, hear)
    await two.read("KV_control", "$KV.control.none")
    for subject in told:
        await one.tell(subject, b"1")
        async with asyncio.timeout(PATIENCE):
            assert await heard.get() == (subject, b"1")
    assert complaints == []


async def test_remotes_share_what_they_know_of_hosts(
    connect: Connect, complaints: list[str]
) -> None:
    one, two = [SharedHealth(await connect("remote"), FakeClock(), lambda: 60.0) for _ in range(2)]
    host = Host("mx.far.example", "192.0.2.7")
    async with background(one.run(), two.run()), asyncio.timeout(PATIENCE):
        one.failed(host, "timed out")
        one.failed(host, "timed out")
        while not two.opens(host):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert complaints == []


async def test_scheduler_ends_what_is_done(connect: Connect, complaints: list[str]) -> None:
    smtpd, scheduler = await connect("smtpd"), await connect("scheduler")
    key = await accept(smtpd, "local", INLINE_LIMIT + 1)
    store = MailStore(scheduler, PLAN.shards)
    mail = await store.read(key)
    assert mail is not None
    await store.create_unit(Key(1, MAIL_ID, "u1"), mail.record)
    await store.forget_body(MAIL_ID)
    await store.forget(mail)
    assert not await store.read(key)
    assert complaints == []


async def test_scheduler_asks_remote_for_mail_hosts(
    connect: Connect, complaints: list[str]
) -> None:
    scheduler = await connect("scheduler")
    remote = await connect("remote")
    for subject in (subjects.SITE, subjects.HOSTS_RESET):
        await answering(remote, subject, "remote")
        assert await scheduler.ask(subject, b"far.example") == b"yes"
    assert complaints == []


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
    keys = [subjects.bucket_key(subjects.DIRECTORY, key) for key in ("domain.a", "account.a.joe")]
    assert await popauth.append_all([Write(key, b"{}", expect=0) for key in keys]) == revision + 3
    stream = subjects.bucket_stream(subjects.DIRECTORY)
    assert len(await popauth.subjects(stream, subjects.bucket_key("directory", ">"))) == 3
    assert await popauth.position(stream, since=1.0) <= await popauth.position(stream)
    await Bucket(popauth, "control").put("me", {"lines": ["mx.example.org"]})
    await Bucket(popauth, "secrets").put("account.org.joe", {"secret": "x"})
    assert await Bucket(popauth, "secrets").get("account.org.joe", leader=True) is not None
    await relay_list.add(CLIENT, user="joe", window=60, by="pop-1")
    assert [entry.ip for entry in await relay_list.entries()] == [CLIENT]
    await answering(await connect("local"), subjects.QUOTA_ROOM, "local")
    assert await popauth.ask(subjects.QUOTA_ROOM, b"joe@example.org") == b"yes"
    last = await popauth.append_all(
        [
            Write(subjects.bucket_key("directory", key), b"{}")
            for key in ("count.example=2Eorg", "account.example=2Eorg.joe")
        ]
    )
    assert last
    assert complaints == []


@pytest.mark.parametrize("service", ["smtpd", "scheduler", "local", "popauth"])
async def test_these_follow_the_directory(
    connect: Connect, complaints: list[str], service: str
) -> None:
    popauth, reader = await connect("popauth"), await connect(service)
    await Bucket(popauth, "directory").put(domain_key("example.org"), {})
    directory = Domains(reader) if service == "scheduler" else Directory(reader)
    running = asyncio.create_task(directory.run())
    async with asyncio.timeout(PATIENCE):
        await directory.loaded()
    assert directory.domain_names() == ["example.org"]
    assert await directory.confirmed_domain("example.net") is False
    if isinstance(directory, Directory):
        assert await directory.account(Address("joe", "example.org")) is None
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


async def test_scheduler_pauses_and_looks_a_mail_up(
    connect: Connect, complaints: list[str]
) -> None:
    smtpd, scheduler = await connect("smtpd"), await connect("scheduler")
    pauses = Pauses(scheduler)
    running = asyncio.create_task(pauses.run())
    async with asyncio.timeout(PATIENCE):
        await pauses.mirror.loaded.wait()
    await pauses.pause("remote", Note("joe", "repairs", 1.7e9))
    assert pauses.channels == {"remote"}
    await pauses.resume("remote")
    key = await accept(smtpd, "remote", 100)
    store = MailStore(scheduler, PLAN.shards)
    assert await store.keys_of(MAIL_ID) == [key]
    await store.forget_key(key)
    assert await store.keys_of(MAIL_ID) == []
    running.cancel()
    assert complaints == []


async def test_remote_keeps_finds_lists_and_removes_suppressions(
    connect: Connect, complaints: list[str]
) -> None:
    suppressions = Suppressions(await connect("remote"), FakeClock())
    held = Suppression(address="joe@x.y", until=2e9, at=1e9, status="5.1.1", reply="550 no")
    await suppressions.add(held)
    assert await suppressions.get("joe@x.y") == held
    assert await suppressions.page(limit=10) == ([held], None)
    await suppressions.remove("joe@x.y")
    assert await suppressions.get("joe@x.y") is None
    assert complaints == []
