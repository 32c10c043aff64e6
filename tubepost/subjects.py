"""Every name on the bus: streams, subjects, buckets, durables. Nothing is spelled elsewhere.

Subjects of the queue: `q.<shard>.<mail id>.<unit>` holds a record, `mail.<mail id>.<chunk>` a
piece of a body, `d.<channel>.<shard>.<mail id>.<unit>` a job. docs/subjects.md is compared with
this file.
"""

import zlib
from dataclasses import dataclass

MAIL = "MAIL"
DISPATCH = "DISPATCH"
LEASES = "leases"
RELAY = "relay"
DIRECTORY = "directory"
CONTROL = "control"
EVENTS = "EVENTS"
PAUSES = "pauses"
SECRETS = "secrets"
SUPPRESSED = "suppressed"
HOSTS = "hosts"

LOCAL = "local"
REMOTE = "remote"
CHANNELS = (LOCAL, REMOTE)

AUTH_CHECK = "auth.check"
"""Request: is this the password of that account? Answered by popauth."""

AUTH_HERE = "auth.here"
"""Request: is a popauth there? Of its own, so that it does not wait behind passwords."""

QUOTA_ROOM = "quota.room"
"""Request: how many octets do the mails of that account take? Answered by local."""

SITE = "remote.site"
"""Request: which hosts are the best MX of that destination? Answered by remote."""

HOSTS_RESET = "remote.reset"
"""Request: forget what is known of that destination's hosts; empty: of all. To remote."""

SPLIT_UNIT = "S"
"""The unit name of a mail that has still to be split, and of the group it becomes."""


@dataclass(frozen=True, slots=True)
class Key:
    """Names one record of the queue."""

    shard: int
    mail_id: str
    unit: str

    @property
    def record(self) -> str:
        return f"q.{self.shard}.{self.mail_id}.{self.unit}"

    def job(self, channel: str) -> str:
        return f"d.{channel}.{self.shard}.{self.mail_id}.{self.unit}"

    def __str__(self) -> str:
        return f"{self.shard}.{self.mail_id}.{self.unit}"


def key_of(subject: str) -> Key:
    """The key in a record's, a job's or a hint's subject: its last three tokens."""
    shard, mail_id, unit = subject.rsplit(".", 3)[-3:]
    return Key(int(shard), mail_id, unit)


def queue_stream(shard: int) -> str:
    return f"QUEUE_{shard}"


def queue_subjects(shard: int) -> str:
    return f"q.{shard}.*.*"


def body_chunk(mail_id: str, index: int) -> str:
    return f"mail.{mail_id}.{index}"


def body(mail_id: str) -> str:
    return f"mail.{mail_id}.*"


def jobs(channel: str) -> str:
    return f"d.{channel}.>"


def bucket_stream(bucket: str) -> str:
    return f"KV_{bucket}"


def bucket_key(bucket: str, key: str) -> str:
    return f"$KV.{bucket}.{key}"


def lease(shard: int) -> str:
    return bucket_key(LEASES, f"sched.{shard}")


SHARD_COUNT = "queue.shards"
"""Key in the control bucket: how many shards the queue has; see shard_count."""

MEMBERS = "sched.members"
"""Question to all schedulers: who are you, which shards do you hold?"""

MOVED = "sched.moved"
"""A scheduler to the others: a shard is free, or I stop (then the payload is my name). A hint."""

JOBS_LOST = "sched.jobs_lost"
"""A scheduler to all: I had to make DISPATCH, empty. A hint."""


RATES = "smtpd.rates"
"""An smtpd to the others: what its clients did (services/smtpd/rates.py). Losing it: see there."""

RATES_WANTED = "smtpd.rates_wanted"
"""An smtpd that begins, or was cut off, to the others: tell me what you know. Payload: my name."""


def rates_for(name: str) -> str:
    """Where an smtpd hears what it asked for."""
    return f"smtpd.rates.{name}"


RATES_FOR_ANY = "smtpd.rates.*"


def done_hint(shard: int) -> str:
    """A worker tells the shard's owner that a record is gone. A hint: losing it costs only time."""
    return f"w.done.{shard}"


DONE_HINT_ANY = "w.done.*"


def hint(key: Key, seq: int) -> bytes:
    """The payload of a hint: this version of the record is no longer there."""
    return f"{key} {seq}".encode()


def parse_hint(data: bytes) -> tuple[Key, int]:
    name, _, seq = data.decode().partition(" ")
    return key_of(name), int(seq)


def inflight(shard: int) -> str:
    """Asked of every worker: which records of this shard do you hold?"""
    return f"w.inflight.{shard}"


def job(seq: int, *, suspect: bool = False) -> bytes:
    """The payload of a job: the version of the record it is for.

    `suspect`: an earlier job for it may still be at work; ask the other workers first.
    """
    return f"{seq} suspect".encode() if suspect else str(seq).encode()


def parse_job(data: bytes) -> tuple[int, bool]:
    """(sequence, suspect)."""
    seq, _, mark = data.partition(b" ")
    return int(seq), bool(mark)


def view(shard: int, what: str) -> str:
    """Asked of a shard's owner. `what`: counts, list, keys, stands, flush."""
    return f"ctl.{shard}.{what}"


VIEW_ANY = "ctl.*.*"

INFLIGHT_ANY = "w.inflight.*"


EVENT_ANY = "event.>"
EVENT_MAIL_ANY = "event.mail.*"

EVENT_QUEUE = "event.queue"
"""Events of no single mail. `event.user.<...>` is kept free for what a user does."""


def mail_events(mail_id: str) -> str:
    """Events of a mail: three hex digits of the id's random part, so at most 4096 subjects.

    A bounce's id begins with its original's: both share a subject.
    """
    return f"event.mail.{mail_id[20:23] or '000'}"


def shard_of(channel: str, destination: str, mail_id: str, shards: int) -> int:
    """Where a unit lives.

    All remote mail to one destination shares a shard, so that one owner sees it and can limit it.
    Local mail has no such limit and spreads by mail: each shard syncs its own file.
    """
    name = destination.lower() if channel == REMOTE else mail_id
    return zlib.crc32(name.encode()) % shards
