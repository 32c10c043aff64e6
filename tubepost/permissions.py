"""What each service may do on the bus: its user's subject permissions. Pure.

Whatever is not listed is denied. Only scheduler may make streams. A service may read only its own
inbox. Written into the server's configuration by `tubepost up`, and by the chart for a cluster.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tubepost import subjects


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects a user may publish and subscribe to; `answers`: may reply to requests."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False


def rights(shards: int) -> dict[str, Rights]:
    """The rights of the five services. A shard's stream is a token of its own: no wildcard fits."""
    shared = (subjects.DIRECTORY, subjects.CONTROL)
    of_popauth = (*shared, subjects.RELAY, subjects.SECRETS)
    schedulers = (subjects.MEMBERS, subjects.MOVED, subjects.JOBS_LOST)
    rates = (subjects.RATES, subjects.RATES_WANTED, subjects.RATES_FOR_ANY)
    return {
        "smtpd": Rights(
            (
                "mail.>",
                "q.>",
                subjects.EVENT_MAIL_ANY,
                subjects.AUTH_CHECK,
                subjects.AUTH_HERE,
                subjects.QUOTA_ROOM,
                "$JS.API.INFO",
                *rates,
                *_reads([*shared, subjects.RELAY]),
            ),
            (_inbox("smtpd"), *rates),
        ),
        "scheduler": Rights(
            (
                "$JS.API.>",
                "mail.>",
                "q.>",
                "d.>",
                subjects.EVENT_MAIL_ANY,
                subjects.EVENT_QUEUE,
                f"$KV.{subjects.LEASES}.>",
                subjects.bucket_key(subjects.CONTROL, subjects.SHARD_COUNT),
                f"$KV.{subjects.PAUSES}.>",
                subjects.INFLIGHT_ANY,
                subjects.SITE,
                subjects.HOSTS_RESET,
                subjects.VIEW_ANY,
                subjects.DONE_HINT_ANY,
                *schedulers,
            ),
            (_inbox("scheduler"), subjects.DONE_HINT_ANY, subjects.VIEW_ANY, *schedulers),
            answers=True,
        ),
        "remote": _worker(
            "remote",
            shards,
            (subjects.CONTROL, subjects.SUPPRESSED, subjects.HOSTS),
            hears=(subjects.SITE, subjects.HOSTS_RESET),
            writes=tuple(
                subjects.bucket_key(bucket, ">") for bucket in (subjects.SUPPRESSED, subjects.HOSTS)
            ),
        ),
        "local": _worker(
            "local",
            shards,
            shared,
            hears=(subjects.QUOTA_ROOM,),
            writes=(subjects.body("*"),),  # of what it sends on
        ),
        "popauth": Rights(
            (
                *(f"$KV.{bucket}.>" for bucket in of_popauth),
                subjects.QUOTA_ROOM,
                *_lists(subjects.DIRECTORY),
                *_reads(of_popauth),
            ),
            (_inbox("popauth"), subjects.AUTH_CHECK, subjects.AUTH_HERE),
            answers=True,
        ),
    }


def _inbox(service: str) -> str:
    return f"_INBOX_{service}.>"


def _reads(buckets: Iterable[str]) -> list[str]:
    """Following a bucket, and reading single keys."""
    found = []
    for bucket in buckets:
        stream = subjects.bucket_stream(bucket)
        found += [
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
            f"$JS.API.DIRECT.GET.{stream}.>",
            f"$JS.API.STREAM.MSG.GET.{stream}",
        ]
    return found


def _lists(bucket: str) -> list[str]:
    """The names in a bucket, and where it was at some time: never a message."""
    stream = subjects.bucket_stream(bucket)
    return [f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.DIRECT.GET.{stream}"]


def _worker(
    channel: str,
    shards: int,
    buckets: Iterable[str],
    *,
    hears: tuple[str, ...] = (),
    writes: tuple[str, ...] = (),
) -> Rights:
    """Takes its channel's jobs, reads records and bodies, writes outcomes, ends records."""
    queue = [
        pattern
        for shard in range(shards)
        for pattern in (
            f"$JS.API.DIRECT.GET.{subjects.queue_stream(shard)}.>",
            f"$JS.API.STREAM.MSG.GET.{subjects.queue_stream(shard)}",
            f"$JS.API.STREAM.PURGE.{subjects.queue_stream(shard)}",
        )
    ]
    dispatch = subjects.DISPATCH
    return Rights(
        (
            "q.>",
            *writes,
            subjects.EVENT_MAIL_ANY,
            subjects.DONE_HINT_ANY,
            subjects.INFLIGHT_ANY,
            f"$JS.API.CONSUMER.MSG.NEXT.{dispatch}.{channel}",
            f"$JS.ACK.{dispatch}.{channel}.>",
            f"$JS.ACK.*.*.{dispatch}.{channel}.>",
            f"$JS.API.DIRECT.GET.{subjects.MAIL}.>",
            f"$JS.API.STREAM.MSG.GET.{subjects.MAIL}",
            *queue,
            *_reads(buckets),
            *writes,
        ),
        (_inbox(channel), subjects.INFLIGHT_ANY, *hears),
        answers=True,
    )
