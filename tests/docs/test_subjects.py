"""docs/subjects.md names every subject, stream, bucket and consumer as the code makes them."""

import inspect
from collections.abc import Callable, Iterable, Iterator

from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from tests.docs.pages import names, table
from tubepost import subjects
from tubepost.provision import Plan, _worker, streams
from tubepost.subjects import Key

PAGE = "docs/subjects.md"

SAMPLES: dict[str, object] = {
    "shard": 71,
    "mail_id": "MAILID--------------DIG",
    "unit": "UNIT",
    "index": 93,
    "channel": "CHANNEL",
    "bucket": "BUCKET",
    "key": "KEY",
    "what": "WHAT",
    "name": "NAME",
}
SHOWN = {"mail_id": "mail id", "index": "chunk"}
"""How arguments are called on the page, where it is not by their own name."""

NO_NAMES = {"key_of", "hint", "parse_hint", "job", "parse_job", "shard_of"}
"""Functions of the module that make no subject."""


def _pattern(text: str) -> str:
    """What was made from SAMPLES, with each sample put back to its name."""
    for name, sample in SAMPLES.items():
        text = text.replace(str(sample), f"<{SHOWN.get(name, name)}>")
    return text.replace("DIG", "<three digits>")


def _made(function: Callable[..., str]) -> str:
    wanted = inspect.signature(function).parameters
    return _pattern(function(**{name: SAMPLES[name] for name in wanted}))


def _in_code() -> dict[str, str]:
    """Name in subjects.py -> what it is."""
    key = Key(71, str(SAMPLES["mail_id"]), "UNIT")
    found = {"Key.record": _pattern(key.record), "Key.job": _pattern(key.job("CHANNEL"))}
    for name, value in vars(subjects).items():
        if isinstance(value, str) and name.isupper():
            found[name] = value
        elif inspect.isfunction(value) and value.__module__ == subjects.__name__:
            if name in NO_NAMES:
                continue
            found[name] = _made(value)
    return found


def test_every_name_of_the_module_is_on_the_page() -> None:
    rows = table(PAGE, "Names")
    written = {names(row["in subjects.py"])[0]: names(row["on the bus"])[0] for row in rows}
    assert len(written) == len(rows)
    assert written == _in_code()


def test_every_stream_is_on_the_page_as_it_is_made() -> None:
    written = {
        (names(row["stream"])[0], _subjects(names(row["subjects"])), row["storage"], row["ends"])
        for row in table(PAGE, "Streams")
    }
    assert written == {
        (
            _shard_again(str(config.name)),
            _subjects(_shard_again(s) for s in config.subjects or ()),
            "memory" if config.storage is StorageType.MEMORY else "file",
            _ends(config),
        )
        for config in streams(Plan(shards=1, replicas=1, relay_window=10_800))
        if not str(config.name).startswith("KV_")
    }


def _ends(config: StreamConfig) -> str:
    if config.retention is RetentionPolicy.WORK_QUEUE:
        return "by ack"
    return "by age" if config.max_age else "by purge"


def test_every_bucket_is_on_the_page_as_it_is_made() -> None:
    written = {
        (
            names(row["bucket"])[0],
            names(row["stream"])[0],
            _subjects(names(row["subjects"])),
            row["storage"],
            row["one server acks"],
        )
        for row in table(PAGE, "Buckets")
    }
    assert written == {
        (
            str(one.name).removeprefix("KV_"),
            str(one.name),
            _subjects(one.subjects or ()),
            _both(one.storage, three.storage),
            "before the disk" if one.persist_mode else _after(one.storage),
        )
        for one, three in _buckets()
    }


def test_every_consumer_is_on_the_page() -> None:
    written = {(row["channel"], names(row["takes"])[0]) for row in table(PAGE, "Consumers")}
    assert written == {
        (str(_worker(channel, 20_000).durable_name), str(_worker(channel, 20_000).filter_subject))
        for channel in subjects.CHANNELS
    }


def _buckets() -> Iterator[tuple[StreamConfig, StreamConfig]]:
    """Each bucket on one server, and in a cluster of three."""
    alone, cluster = (
        [s for s in streams(Plan(1, replicas, 10_800)) if str(s.name).startswith("KV_")]
        for replicas in (1, 3)
    )
    return zip(alone, cluster, strict=True)


def _both(alone: StorageType | None, cluster: StorageType | None) -> str:
    kinds = ["memory" if s is StorageType.MEMORY else "file" for s in (alone, cluster)]
    return kinds[0] if kinds[0] == kinds[1] else f"{kinds[0]}; replicated: {kinds[1]}"


def _after(storage: StorageType | None) -> str:
    return "from memory" if storage is StorageType.MEMORY else "after the disk"


def _subjects(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(texts))


def _shard_again(text: str) -> str:
    return text.replace("QUEUE_0", "QUEUE_<shard>").replace("q.0.", "q.<shard>.")
