"""The gauges of the queue, set from what the shards count. Nothing here walks the units."""

from collections.abc import Sequence

from services.scheduler.shard import Limits, Shard
from tubepost import metrics
from tubepost.record import State
from tubepost.subjects import CHANNELS

TOP = 20
"""Destinations with a sample of their own; the rest is summed as OTHER."""

OTHER = "other"


def measure(shards: Sequence[tuple[Shard, Limits]], now: float) -> None:
    """Sets all of them, for the shards of this process and their limits."""
    views = [shard for shard, _ in shards]
    for state in State:
        count = sum(shard.tally.states[state] for shard in views)
        metrics.QUEUE_DEPTH.labels(state).set(count)
    aside = (shard.tally.states[s] for shard in views for s in (State.HELD, State.PARKED))
    metrics.QUEUE_SET_ASIDE.set(sum(aside))
    oldest = min((at for shard in views if (at := shard.oldest) is not None), default=now)
    metrics.QUEUE_OLDEST.set(max(0.0, now - oldest))
    metrics.DESTINATIONS_BACKED_OFF.set(sum(shard.backed_off for shard in views))
    for channel in CHANNELS:
        metrics.SLOTS_USED.labels(channel).set(sum(shard.used(channel) for shard in views))
        metrics.SLOTS_LIMIT.labels(channel).set(sum(limits.of(channel) for _, limits in shards))
        metrics.QUEUE_READY.labels(channel).set(sum(shard.ready(channel) for shard in views))
    _measure_destinations(views)


def _measure_destinations(shards: Sequence[Shard]) -> None:
    """A local domain is in several shards: its parts are added up."""
    metrics.QUEUE_DESTINATION.clear()
    names = {(d.channel, d.destination) for shard in shards for d in shard.tally.top(TOP)}
    counts = {name: sum(shard.tally.units_to(*name) for shard in shards) for name in names}
    top = sorted(counts, key=lambda name: (-counts[name], name))[:TOP]
    for channel in CHANNELS:
        total = sum(shard.tally.by_destination[channel].total for shard in shards)
        for name in top:
            if name[0] == channel:
                metrics.QUEUE_DESTINATION.labels(*name).set(counts[name])
                total -= counts[name]
        metrics.QUEUE_DESTINATION.labels(channel, OTHER).set(total)
