"""How many shards each scheduler replica should hold, and what this one does about it. Pure.

Every replica works this out for itself, from the same answers. Shares differ by one at most; who
holds more keeps the bigger one, so that nothing moves without need. A wrong view costs a shard that
moves once too often, never a mail: the lease says who owns, the queue's writes compare and set.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A replica that is alive, and the shards it holds."""

    name: str
    shards: frozenset[int]


@dataclass(frozen=True, slots=True)
class Plan:
    """`free`: held by nobody. `room`: how many more may be ours. `give_up`: let go of this one."""

    free: tuple[int, ...] = ()
    room: int = 0
    give_up: int | None = None


def answer(member: Member) -> bytes:
    """What a replica says when it is asked who is there."""
    return json.dumps({"name": member.name, "shards": sorted(member.shards)}).encode()


def parse(data: bytes) -> Member | None:
    """The member an answer tells of; None where it is no such answer."""
    try:
        said = json.loads(data)
        return Member(str(said["name"]), frozenset(int(shard) for shard in said["shards"]))
    except (ValueError, KeyError, TypeError):
        return None


def plan(me: Member, others: Iterable[Member], shards: int, kept: Collection[int] = ()) -> Plan:
    """What `me` does in a queue of `shards` shards. `kept`: never given up.

    Nothing is given up while a shard is free: whoever has too few takes that one first.
    """
    members = [me, *others]
    free = tuple(s for s in range(shards) if not any(s in m.shards for m in members))
    share = _share(me, members, shards)
    if len(me.shards) < share:
        return Plan(free, share - len(me.shards))
    too_many = len(me.shards) > share and not free
    return Plan(free, 0, _least_needed(me, members, kept) if too_many else None)


def _share(me: Member, members: Collection[Member], shards: int) -> int:
    order = sorted(members, key=lambda m: (-len(m.shards), m.name))
    return shards // len(order) + (order.index(me) < shards % len(order))


def _least_needed(me: Member, members: Iterable[Member], kept: Collection[int]) -> int | None:
    """One that somebody else believes to hold too, else the last."""
    theirs = {shard for m in members if m is not me for shard in m.shards}
    candidates = sorted(me.shards - set(kept), key=lambda shard: (shard in theirs, shard))
    return candidates[-1] if candidates else None
