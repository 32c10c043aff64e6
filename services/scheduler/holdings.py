"""The shards this replica holds: asks who else is there, takes leases, gives them up. The I/O.

Which and how many is members' to say. A shard given up is not handed out any more before its lease
is free; deliveries that run go on, and the next owner asks the workers for them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from services.scheduler import members
from services.scheduler.lease import TTL, Lease
from services.scheduler.members import Member
from tubepost import maillog, subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus
from tubepost.tasks import background

ROUND = 3.0
"""Seconds between two looks at who is there; a replica that comes or goes says so at once."""

SOON = 0.5
"""Seconds until the next look while something is amiss: the end of a lease tells nobody."""

ANSWERS_WITHIN = 0.5
"""Seconds the other replicas have to answer."""

MISSED = 3
"""Looks in a row without an answer after which a replica is gone. After a restart of the server
the others need a moment to find it again; their shards must not be taken meanwhile."""

NEGLECTED = 2 * TTL
"""Seconds a shard may be free before anybody takes it, whatever its share."""

SHARED_OUT = "another scheduler has too few"
STOPPED = "this scheduler stops"


@dataclass(slots=True)
class _Heard:
    """What another replica said last, and how many looks ago."""

    member: Member
    missed: int = 0


class Holdings:
    """`work(shard)` is run, for ever, for each shard held. It holds what `run` has taken so far."""

    def __init__(
        self,
        bus: Bus,
        shards: int,
        name: str,
        *,
        work: Callable[[int], Coroutine[Any, Any, None]],
        wanted: Callable[[], None],
    ) -> None:
        """`name`: unlike that of any other replica, ever. `wanted`: see Lease."""
        self._bus, self._shards, self._name = bus, shards, name
        self._work, self._wanted = work, wanted
        self._held: dict[int, asyncio.Task[None]] = {}
        self._giving_up: set[int] = set()
        self._others: dict[str, _Heard] = {}
        self._free_since: dict[int, float] = {}
        self._adopted: set[int] = set()
        """Taken beyond our share, because nobody else did; kept until somebody comes or goes."""
        self._news = asyncio.Event()
        self._amiss = False
        self._leaving = False

    async def run(self) -> None:
        """For ever. Cancelled, it frees every shard and tells the others."""
        maillog.shards_not_owned(range(self._shards))
        await self._bus.answer(subjects.MEMBERS, self._answer)
        await self._bus.answer(subjects.MOVED, self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._news.clear()
                    await self._look(group)
                    await self._pause()
        finally:
            self._leaving = True
            await self._tell(self._name)

    async def _answer(self, _subject: str, _data: bytes) -> bytes | None:
        return None if self._leaving else members.answer(self._me())

    async def _hear(self, _subject: str, data: bytes) -> None:
        """Something moved; `data` is the name of a replica that stops."""
        if self._others.pop(data.decode(), None):
            self._adopted.clear()
        self._news.set()

    def _me(self) -> Member:
        return Member(self._name, frozenset(self._held))

    async def _tell(self, stopping: str = "") -> None:
        """A hint: losing it costs the others some looks."""
        with contextlib.suppress(Unavailable):
            await self._bus.tell(subjects.MOVED, stopping.encode())

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOON if self._amiss else ROUND):
                await self._news.wait()

    # --- one look

    async def _look(self, group: asyncio.TaskGroup) -> None:
        try:
            await self._ask()
            plan = members.plan(self._me(), self._members(), self._shards, self._adopted)
            await self._fill_up(plan, group)
        except Unavailable:
            self._wanted()
            self._free_since.clear()  # nobody could take anything now
            self._amiss = True
            return
        missed = any(heard.missed for heard in self._others.values())
        self._amiss = missed or bool(self._free_since)
        if plan.give_up is not None:
            await self._give_up(plan.give_up)

    def _members(self) -> list[Member]:
        return [heard.member for heard in self._others.values()]

    async def _ask(self) -> None:
        """Who is there? Whoever comes or goes makes everybody's share another one."""
        answers = await self._bus.ask_all(subjects.MEMBERS, seconds=ANSWERS_WITHIN)
        before = set(self._others)
        for heard in self._others.values():
            heard.missed += 1
        for member in filter(None, map(members.parse, answers)):
            self._others[member.name] = _Heard(member)
        self._others.pop(self._name, None)
        for name in [n for n, heard in self._others.items() if heard.missed >= MISSED]:
            del self._others[name]
        if set(self._others) != before:
            self._adopted.clear()

    async def _fill_up(self, plan: members.Plan, group: asyncio.TaskGroup) -> None:
        """Takes what is free, up to our share; more of it only where nobody else does."""
        room, neglected = plan.room, self._neglected(plan.free)
        for shard in plan.free:
            if not (room > 0 or shard in neglected) or not await self._take(shard, group):
                continue
            if room <= 0:
                self._adopted.add(shard)
            room -= 1

    def _neglected(self, free: tuple[int, ...]) -> set[int]:
        now = asyncio.get_running_loop().time()
        self._free_since = {shard: self._free_since.get(shard, now) for shard in free}
        return {shard for shard, since in self._free_since.items() if now - since > NEGLECTED}

    async def _take(self, shard: int, group: asyncio.TaskGroup) -> bool:
        lease = Lease(self._bus, shard, self._name, self._wanted)
        if shard in self._held or not await lease.take():
            return False
        self._free_since.pop(shard, None)
        self._held[shard] = group.create_task(self._hold(shard, lease))
        return True

    async def _give_up(self, shard: int) -> None:
        task = self._held.get(shard)
        if task:
            self._giving_up.add(shard)
            task.cancel()
            await asyncio.wait({task})

    # --- one shard

    async def _hold(self, shard: int, lease: Lease) -> None:
        maillog.shard_owned(shard)
        try:
            async with background(self._work(shard)):
                maillog.shard_lost(shard, await lease.keep())
        except asyncio.CancelledError:
            maillog.shard_given_up(shard, SHARED_OUT if shard in self._giving_up else STOPPED)
            raise
        finally:
            await lease.release()
            del self._held[shard]
            self._giving_up.discard(shard)
            self._adopted.discard(shard)
            self._news.set()
            await self._tell()
