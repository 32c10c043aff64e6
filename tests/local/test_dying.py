"""local dies around the write of its outcome: the next one loses no mail and doubles none."""

import asyncio
import sys
from pathlib import Path

import pytest

from services.local.app import serve
from services.local.settings import Settings
from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.admin import Health, create_app
from tubepost.directory_values import Account, account_key, domain_key, entry_value
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.record import Envelope, Held
from tubepost.routing import Route
from tubepost.runtime import Context

JOE = "joe@example.org"
PATIENCE = 30.0


@pytest.fixture
async def held(bus: NatsBus) -> Held:
    """A mail for Joe, who has a mailbox, in the queue."""
    bucket = Bucket(bus, subjects.DIRECTORY)
    await bucket.put(domain_key("example.org"), {})
    account = Account(JOE, "example.org/1f/joe", "hash")
    await bucket.put(account_key(parse_address(JOE)), entry_value(account))
    store, here = MailStore(bus, 2), [Route("local", "example.org")]
    envelope = Envelope("ann@far.example", (JOE,))
    key = await store.accept(envelope, here, b"Subject: x\r\n\r\nHi.\r\n", mail_id="m1", now=1.0)
    found = await store.read(key)
    assert found
    return found


@pytest.fixture
async def killed(
    bus: NatsBus, nats_server: NatsServer, held: Held, tmp_path: Path, death: tuple[str, str]
) -> None:
    """A local took the job and died, just before or just after a step."""
    await bus.append(held.key.job("local"), subjects.job(held.seq), expect=0)
    program = [sys.executable, "-m", "tests.local.dying_local", nats_server.url, str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*program, *death)
    async with asyncio.timeout(PATIENCE):
        assert await process.wait() == -9


async def next_local(bus: NatsBus, server: NatsServer, held: Held, root: Path) -> None:
    """What the scheduler does about a lost job, and a local that is given it."""
    job = held.key.job("local")
    await bus.purge(subjects.DISPATCH, job)
    health = Health()
    context = Context("local", create_app(health, ""), health, asyncio.Event())
    settings = Settings(nats_url=server.url, mail_root=root, shards=2)
    service = asyncio.create_task(serve(settings, context))
    async with asyncio.timeout(PATIENCE):
        await context.is_ready.wait()
        await bus.append(job, subjects.job(held.seq, suspect=True), expect=0)
        while await bus.read(subjects.DISPATCH, job, leader=True):  # noqa: ASYNC110 - as in worker_rig
            await asyncio.sleep(0.01)
        context.stopping.set()
        await service


@pytest.mark.parametrize(
    ("death", "reader"),
    [
        (("before", "settle"), False),
        (("before", "settle"), True),
        (("after", "settle"), True),
        (("before", "finish"), True),
        (("after", "finish"), True),
    ],
)
@pytest.mark.usefixtures("killed")
async def test_the_mail_is_in_the_mailbox_once_and_out_of_the_queue(
    bus: NatsBus, nats_server: NatsServer, held: Held, tmp_path: Path, *, reader: bool
) -> None:
    inbox = tmp_path / "example.org/1f/joe/Maildir"
    [there] = await asyncio.to_thread(lambda: list(inbox.glob("new/*")))
    if reader:
        there.rename(inbox / "cur" / f"{there.name}:2,S")
    await next_local(bus, nats_server, held, tmp_path)
    found = await asyncio.to_thread(lambda: [*inbox.glob("new/*"), *inbox.glob("cur/*")])
    assert [file.name.partition(":")[0] for file in found] == [there.name]
    assert await MailStore(bus, 2).read(held.key) is None
