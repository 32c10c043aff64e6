"""Makes the streams and buckets. Idempotent; run by the scheduler, which owns the queue.

The memory streams (DISPATCH, leases) vanish with a single server's restart and are made again.
What exists is left as it is: changing a stream is an operator's act. The number of shards is stored
before the first of them is made; from then on only `tubepost reshard` changes it.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    PersistMode,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from tubepost import maillog, remote_values, shard_count, subjects
from tubepost.errors import Unavailable
from tubepost.nats_pull import NETWORK_ERRORS
from tubepost.shard_count import Count
from tubepost.tasks import heed_cancellation

DUPLICATE_WINDOW = 600.0
ACK_WAIT = 60.0
MAX_JOBS = 100_000
MAX_HOSTS = 10_000
HOSTS_AGE = 3 * 3600.0
"""Seconds; more than a host is backed off and remembered."""

HISTORY = 16
"""Changes kept of each key of the directory: who changed what."""

_DIRECTORY = subjects.bucket_stream(subjects.DIRECTORY)

NO_ROOM = {10023, 10028, 10047}
"""The server's codes for: what this stream may take at most is more than is left."""

MAX_UNFINISHED = 20_000
"""Jobs of a channel that workers may hold at once, all workers together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`relay_window`: seconds an address stays on the relay list. Events: seconds, octets kept."""

    shards: int
    replicas: int
    relay_window: float
    events_age: float = 604_800.0
    events_bytes: int = 1 << 29


async def provision(client: Client, plan: Plan) -> bool:
    """Makes what is missing; True where DISPATCH had to be made, empty.

    Raises Unavailable, and WrongCount where the queue has another number of shards.
    """
    js = client.jetstream(timeout=5)
    created = set()
    with _unavailable("cannot make the streams"):
        for config in _buckets(plan):
            if not await _made(js, config) and config.name == _DIRECTORY:
                await _bring_up_to_date(js, config)
        shard_count.check(await _count(js, plan.shards), plan.shards)
        for config in streams(plan):
            if await (_made_if_room if config.name == subjects.EVENTS else _made)(js, config):
                created.add(config.name)
        for channel in subjects.CHANNELS:
            await _make_worker(js, channel)
    return subjects.DISPATCH in created


async def limit_jobs(client: Client, most: Mapping[str, int], shards: int) -> None:
    """Holds a channel to `most` deliveries at once where its shards, with one each, could not.

    Changes only what is not so yet. Raises Unavailable.
    """
    js = client.jetstream(timeout=5)
    with _unavailable("cannot limit the jobs"):
        for channel, limit in most.items():
            wanted = limit if 0 < limit < shards else MAX_UNFINISHED
            there = await js.consumer_info(subjects.DISPATCH, channel)
            if there.config.max_ack_pending != wanted:
                await js.add_consumer(subjects.DISPATCH, _worker(channel, wanted))


async def _make_worker(js: JetStreamContext, channel: str) -> None:
    """What is there keeps its limit: the owner of shard 0 sets it."""
    try:
        await js.consumer_info(subjects.DISPATCH, channel)
    except NotFoundError:
        await js.add_consumer(subjects.DISPATCH, _worker(channel))


@contextlib.contextmanager
def _unavailable(what: str) -> Iterator[None]:
    """nats-py's errors as ours."""
    try:
        yield
    except (APIError, *NETWORK_ERRORS) as error:
        raise Unavailable(f"{what}: {error!r}") from error
    heed_cancellation()


async def _count(js: JetStreamContext, wanted: int) -> Count:
    """The number of shards in force; where none is stored, what is there counts, or `wanted`."""
    stream = subjects.bucket_stream(subjects.CONTROL)
    subject = subjects.bucket_key(subjects.CONTROL, subjects.SHARD_COUNT)
    try:
        found = await js.get_last_msg(stream, subject)
    except NotFoundError:
        count = Count(len(await _shards(js)) or wanted)
        expect = {"Nats-Expected-Last-Subject-Sequence": "0"}
        await js.publish(subject, count.encode(), headers=expect)
        return count
    return shard_count.decode(json.loads(found.data or b""))


async def _shards(js: JetStreamContext) -> list[int]:
    prefix = subjects.queue_stream(0)[:-1]
    names = [name for name in await _names(js) if name.startswith(prefix)]
    return sorted(int(name.removeprefix(prefix)) for name in names)


async def _names(js: JetStreamContext) -> list[str]:
    return [str(info.config.name) for info in await js.streams_info()]


async def queue_shards(client: Client) -> list[int]:
    """The shards that have a stream. Raises Unavailable."""
    with _unavailable("cannot list the streams"):
        return await _shards(client.jetstream(timeout=5))


async def stream_names(client: Client) -> list[str]:
    """Of every stream, buckets included. Raises Unavailable."""
    with _unavailable("cannot list the streams"):
        return await _names(client.jetstream(timeout=5))


async def open_shards(client: Client, shards: int, replicas: int) -> None:
    """Makes the streams of shards 0 to `shards` - 1, or opens them again. Raises Unavailable."""
    js, plan = client.jetstream(timeout=5), Plan(shards, replicas, 0)
    with _unavailable("cannot make the streams"):
        for shard in range(shards):
            if not await _made(js, _queue(shard, plan)):
                await _limit_messages(js, shard, -1)


async def replicas_of(client: Client, shard: int) -> int:
    """Copies of a shard's stream. Raises Unavailable."""
    with _unavailable("cannot ask for a stream"):
        info = await client.jetstream(timeout=5).stream_info(subjects.queue_stream(shard))
    return info.config.num_replicas or 1


async def close_shard(client: Client, shard: int) -> None:
    """From now on the server takes no new record for it; what is there can be read and purged."""
    with _unavailable("cannot close a shard"):
        await _limit_messages(client.jetstream(timeout=5), shard, 1)


async def remove_shard(client: Client, shard: int) -> None:
    """Deletes a stream with all that is in it."""
    with _unavailable("cannot remove a shard"):
        await client.jetstream(timeout=5).delete_stream(subjects.queue_stream(shard))


async def _limit_messages(js: JetStreamContext, shard: int, octets: int) -> None:
    """The greatest record a shard takes; -1 = no limit. A record is never as small as 1."""
    config = (await js.stream_info(subjects.queue_stream(shard))).config
    if config.max_msg_size != octets:
        config.max_msg_size = octets
        await js.update_stream(config)


async def _made(js: JetStreamContext, config: StreamConfig) -> bool:
    """Whether it had to be made. The server's own `did_create` also says so of what was there."""
    try:
        await js.stream_info(str(config.name))
    except NotFoundError:
        await js.add_stream(config)
        return True
    return False


async def _bring_up_to_date(js: JetStreamContext, wanted: StreamConfig) -> None:
    """The directory of an earlier release: no changes of several keys at once, and no history."""
    there = (await js.stream_info(str(wanted.name))).config
    if there.allow_atomic and there.max_msgs_per_subject == wanted.max_msgs_per_subject:
        return
    there.allow_atomic = True
    there.max_msgs_per_subject = wanted.max_msgs_per_subject
    await js.update_stream(there)


async def _made_if_room(js: JetStreamContext, config: StreamConfig) -> bool:
    """As `_made`; without room for this stream only the lives of mails stay unwritten."""
    try:
        return await _made(js, config)
    except APIError as error:
        if error.err_code not in NO_ROOM:
            raise
        maillog.bus_error(f"no {config.name}, so nothing is kept of what happens: {error}")
        return False


def streams(plan: Plan) -> list[StreamConfig]:
    """Every stream, buckets included."""
    queue = [_queue(s, plan) for s in range(plan.shards)]
    return [*queue, _mail(plan), _dispatch(plan), _leases(plan), *_buckets(plan), _events(plan)]


def _queue(shard: int, plan: Plan) -> StreamConfig:
    """No max_msgs_per_subject, ever: an overwritten revision could return after a kill (fact 3)."""
    return StreamConfig(
        name=subjects.queue_stream(shard),
        subjects=[subjects.queue_subjects(shard)],
        num_replicas=plan.replicas,
        allow_rollup_hdrs=True,
        allow_direct=True,
        discard=DiscardPolicy.NEW,
        duplicate_window=DUPLICATE_WINDOW,
    )


def _mail(plan: Plan) -> StreamConfig:
    return StreamConfig(
        name=subjects.MAIL,
        subjects=["mail.*.*"],
        num_replicas=plan.replicas,
        allow_direct=True,
        discard=DiscardPolicy.NEW,
        duplicate_window=DUPLICATE_WINDOW,
    )


def _dispatch(plan: Plan) -> StreamConfig:
    return StreamConfig(
        name=subjects.DISPATCH,
        subjects=["d.>"],
        storage=StorageType.MEMORY,
        retention=RetentionPolicy.WORK_QUEUE,
        num_replicas=plan.replicas,
        discard=DiscardPolicy.NEW,
        max_msgs=MAX_JOBS,
    )


def _worker(channel: str, unfinished: int = MAX_UNFINISHED) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=channel,
        filter_subject=subjects.jobs(channel),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        max_ack_pending=unfinished,
        max_deliver=-1,
    )


def _leases(plan: Plan) -> StreamConfig:
    return StreamConfig(
        name=subjects.bucket_stream(subjects.LEASES),
        subjects=[f"$KV.{subjects.LEASES}.>"],
        storage=StorageType.MEMORY,
        num_replicas=plan.replicas,
        max_msgs_per_subject=1,
        allow_msg_ttl=True,
        allow_rollup_hdrs=True,
        allow_direct=True,
        discard=DiscardPolicy.NEW,
    )


def _buckets(plan: Plan) -> list[StreamConfig]:
    """The relay list may be lost with a crash (a login brings it back); the rest may not."""

    def bucket(name: str, **more: object) -> StreamConfig:
        return StreamConfig(
            name=subjects.bucket_stream(name),
            subjects=[f"$KV.{name}.>"],
            num_replicas=plan.replicas,
            max_msgs_per_subject=1,
            allow_rollup_hdrs=True,
            allow_direct=True,
            discard=DiscardPolicy.NEW,
            **more,  # type: ignore[arg-type]
        )

    alone = plan.replicas == 1
    relay = bucket(
        subjects.RELAY,
        max_age=plan.relay_window,
        storage=StorageType.FILE if alone else StorageType.MEMORY,
        **({"persist_mode": PersistMode.ASYNC} if alone else {}),
    )
    lasting = (subjects.CONTROL, subjects.PAUSES, subjects.SECRETS)
    suppressed = bucket(subjects.SUPPRESSED, max_age=float(remote_values.LONGEST_SUPPRESSION))
    directory = bucket(subjects.DIRECTORY, allow_atomic=True)
    directory.max_msgs_per_subject = HISTORY
    return [relay, suppressed, directory, *(bucket(name) for name in lasting), _hosts(plan)]


def _hosts(plan: Plan) -> StreamConfig:
    """Hosts that failed. It may be lost: they fail again."""
    return StreamConfig(
        name=subjects.bucket_stream(subjects.HOSTS),
        subjects=[f"$KV.{subjects.HOSTS}.>"],
        storage=StorageType.MEMORY,
        num_replicas=plan.replicas,
        max_msgs_per_subject=1,
        max_msgs=MAX_HOSTS,
        max_age=HOSTS_AGE,
        allow_rollup_hdrs=True,
        allow_direct=True,
        discard=DiscardPolicy.OLD,
    )


def _events(plan: Plan) -> StreamConfig:
    """What happened: the oldest goes first, and a crash may take the newest (decision 0010)."""
    alone = plan.replicas == 1
    return StreamConfig(
        name=subjects.EVENTS,
        subjects=[subjects.EVENT_ANY],
        num_replicas=plan.replicas,
        allow_direct=True,
        discard=DiscardPolicy.OLD,
        max_age=plan.events_age,
        max_bytes=plan.events_bytes,
        **({"persist_mode": PersistMode.ASYNC} if alone else {}),  # type: ignore[arg-type]
    )
