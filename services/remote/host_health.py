"""Health that all workers share: a bucket with an entry for each host that failed.

Each worker has it in memory. It is written behind a delivery's back, at a failure and at the first
answer after one; while the bus is away each worker knows what it has seen itself. Whoever is first
behind a back-off claims the try by writing it: within the milliseconds that takes to get round
others may try too, one of each worker at most.
"""

import asyncio
import contextlib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from services.remote import standing
from services.remote.mx import Host
from services.remote.standing import Standing
from services.remote.uplink import Uplink
from tubepost import maillog, metrics, subjects
from tubepost.errors import StoreFull, Unavailable
from tubepost.keyed import Bucket
from tubepost.ports import Bus, Clock, Stored
from tubepost.tasks import background

Place = tuple[str, int]
"""An address and a port: what is known is known of both."""

MOST = 10_000
"""Hosts kept in memory, and in the bucket; the one that failed longest ago goes first."""


class SharedHealth:
    """Implements services.remote.health.Health. `run` keeps it in step with the others.

    `longest`: seconds a host is left alone at most, as set; 0 = never.
    """

    def __init__(self, bus: Bus, clock: Clock, longest: Callable[[], float]) -> None:
        self._bus, self._clock, self._longest = bus, clock, longest
        self._bucket = Bucket(bus, subjects.HOSTS)
        self._known: dict[Place, Standing] = {}
        self._uplink = Uplink()
        self._unwritten: dict[Place, None] = {}
        self._news, self._written = asyncio.Event(), asyncio.Event()
        self._written.set()

    async def run(self) -> None:
        """For ever."""
        async with background(self._write()):
            await self._follow()

    # --- what a delivery asks and tells

    def why_not(self, host: Host) -> str:
        """See Health."""
        known = self._of(host)
        return str(known) if known and known.until > self._clock() else ""

    def tries(self, host: Host) -> None:
        """See Health."""
        known = self._of(host)
        if known and known.backed_off:
            self._change((host.ip, host.port), known.tried(self._clock()), ours=True)

    def opens(self, host: Host) -> float:
        """See Health."""
        known = self._of(host)
        return known.opens(self._clock()) if known else 0.0

    def failed(self, host: Host, why: str, *, connected: bool = False) -> None:
        """See Health."""
        why = why.removeprefix(f"{host.ip}: ")
        if connected:
            self._reached()
        elif self._uplink.failed():
            maillog.uplink_doubted(self._uplink.failures, why)
        if self._longest():
            self._failed((host.ip, host.port), why)

    def _failed(self, place: Place, why: str) -> None:
        now, longest = self._clock(), self._longest()
        before = self._known.get(place)
        doubted = self._uplink.doubted
        after = standing.after_failure(before, now, _key(place), why, longest, doubted=doubted)
        if after is before:
            return
        self._change(place, after, ours=True)
        if after.backed_off:
            maillog.host_backed_off(*place, after.why, seconds=after.until - now)

    def answered(self, host: Host) -> None:
        """See Health."""
        if self._uplink.failures:
            self._reached()
        if not self._known:
            return
        known = self._known.get((host.ip, host.port))
        if known:
            self._change((host.ip, host.port), None)
            if known.backed_off:
                maillog.host_back(host.ip, host.port)

    def _reached(self) -> None:
        if self._uplink.reached():
            maillog.uplink_back()

    def _of(self, host: Host) -> Standing | None:
        if not self._known or not self._longest():
            return None
        return self._known.get((host.ip, host.port))

    # --- for the operator

    def listed(self) -> list[dict[str, Any]]:
        """Each host that failed as {ip, port} and what is in Standing, the last failure first."""
        now = self._clock()
        return [
            {"ip": ip, "port": port, **standing.encode(known)}
            for (ip, port), known in reversed(self._known.items())
            if not known.forgotten(now)
        ]

    def reset(self, ip: str) -> list[int]:
        """Forgets what is known of an address; the ports it was known of."""
        ports = [port for address, port in list(self._known) if address == ip]
        for port in ports:
            self._change((ip, port), None)
        return ports

    async def written(self) -> None:
        """Returns once the others can know what this worker knows, or cannot for now."""
        await self._written.wait()

    def measure(self) -> None:
        """Sets the gauge; called when metrics are read."""
        now = self._clock()
        backed_off = (k.backed_off and not k.forgotten(now) for k in self._known.values())
        metrics.HOSTS_BACKED_OFF.set(sum(backed_off))

    # --- in step with the others

    def _change(self, place: Place, known: Standing | None, *, ours: bool = False) -> None:
        """`ours`: what we have met ourselves; in doubt about us the others are not told of it."""
        self._keep(place, known)
        if ours and self._uplink.doubted:
            return
        if len(self._unwritten) >= MOST:  # the bus is slow, or away: the others find out themselves
            return
        self._unwritten[place] = None
        self._written.clear()
        self._news.set()

    def _keep(self, place: Place, known: Standing | None) -> None:
        """The one that changed last stands last, so the first one is the first to be forgotten."""
        self._known.pop(place, None)
        if known is None:
            return
        self._known[place] = known
        first = next(iter(self._known))
        if len(self._known) > MOST or self._known[first].forgotten(self._clock()):
            del self._known[first]

    async def _follow(self) -> None:
        prefix = subjects.bucket_key(subjects.HOSTS, "")
        stream = subjects.bucket_stream(subjects.HOSTS)
        async for item in self._bus.follow(stream, prefix + ">"):
            if isinstance(item, Stored):
                place = _place(item.subject.removeprefix(prefix))
                if place:
                    self._heard(place, standing.decode(item.data))

    def _heard(self, place: Place, theirs: Standing | None) -> None:
        """What somebody wrote, perhaps we ourselves: nobody waits for the others with writing.

        Of two that know of failures the one that knows of more is right.
        """
        mine = self._known.get(place)
        if theirs and mine and not mine.forgotten(self._clock()):
            if standing.met_by_two(mine, theirs):
                self._failed(place, theirs.why)
                return
            if theirs.failures < mine.failures:
                self._change(place, mine, ours=True)
                return
            if theirs.failures > mine.failures:
                self._unwritten.pop(place, None)
        if place not in self._unwritten:  # else what we have to say is newer
            self._keep(place, theirs)

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._unwritten:
                place = next(iter(self._unwritten))
                known = self._known.get(place)
                value = standing.encode(known) if known else None
                # without the bus it is known here, and written with the next failure
                with contextlib.suppress(Unavailable, StoreFull):
                    await self._bucket.put(_key(place), value)
                if self._known.get(place) is known:
                    self._unwritten.pop(place, None)
            self._written.set()


def _key(place: Place) -> str:
    """`v4.192.0.2.7.25`, `v6.<32 hex digits>.25`: colons are not allowed in keys."""
    ip, port = place
    number = ip_address(ip.partition("%")[0])
    return f"v4.{number}.{port}" if number.version == 4 else f"v6.{int(number):032x}.{port}"


def _place(key: str) -> Place | None:
    """The reverse; None for a key that is none of ours."""
    family, _, rest = key.partition(".")
    ip, _, port = rest.rpartition(".")
    try:
        number = IPv4Address(ip) if family == "v4" else IPv6Address(int(ip, 16))
        return str(number), int(port)
    except ValueError:
        return None
