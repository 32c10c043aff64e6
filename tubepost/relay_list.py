"""The relay list: addresses that have just logged in, qmail's open-smtp file without the file.

One key per client address in a bucket whose entries end by themselves; the end also stands in the
entry and is checked by whoever reads it, so no sweeper and no event is needed to close the relay.
"""

import json
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address

from tubepost import subjects
from tubepost.keyed import Bucket
from tubepost.ports import Bus, CaughtUp, Clock
from tubepost.tcprules import as_ipv6


@dataclass(frozen=True, slots=True)
class Entry:
    """`at`, `until`: seconds since 1970. `by`: the instance of popauth that wrote it."""

    ip: str
    user: str
    at: float
    until: float
    by: str


def normal(ip: str) -> str:
    """An address in one spelling: v4-mapped IPv6 becomes IPv4. ValueError if it is none."""
    number = ip_address(ip)
    mapped = number.ipv4_mapped if number.version == 6 else None
    return str(mapped or number)


def key_for(ip: str) -> str:
    """`v4.192.0.2.7`, `v6.<32 hex digits>`: colons are not allowed in keys."""
    number = ip_address(normal(ip))
    return f"v4.{number}" if number.version == 4 else f"v6.{int(number):032x}"


Networks = tuple[IPv6Network, ...]


def may_be_listed(ip: str, *, allowed: Networks, ours: Networks = ()) -> bool:
    """Whether an address may come onto the list: global ones may, others only if allowed by name.

    Loopback, private, shared (CGNAT's inside), link-local and reserved addresses, and `ours`, are
    those of a cluster, a proxy or a NAT: opening the relay for one of them opens it for many.
    """
    number = as_ipv6(ip)
    if any(number in network for network in allowed):
        return True
    return ip_address(normal(ip)).is_global and not any(number in network for network in ours)


class RelayList:
    """Raises Unavailable when the bus is away."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._bucket = Bucket(bus, subjects.RELAY)

    async def add(self, ip: str, *, user: str, window: float, by: str) -> Entry:
        """Lists an address for `window` seconds from now; a later login starts it over."""
        now = self._clock()
        entry = Entry(normal(ip), user, now, now + window, by)
        value = {"user": user, "at": now, "until": entry.until, "by": by}
        await self._bucket.put(key_for(ip), value)
        return entry

    async def lookup(self, ip: str) -> Entry | None:
        """The entry that holds now. "Not listed" is confirmed by the leader."""
        for leader in (False, True):
            found = await self._bucket.get(key_for(ip), leader=leader)
            entry = self._current(normal(ip), found[0]) if found else None
            if entry:
                return entry
        return None

    async def entries(self) -> list[Entry]:
        """Every entry that holds now, the newest login last."""
        found = []
        stream = subjects.bucket_stream(subjects.RELAY)
        prefix = subjects.bucket_key(subjects.RELAY, "")
        async for item in self._bus.follow(stream, prefix + ">"):
            if isinstance(item, CaughtUp):
                break
            if item.data:
                ip = _ip_of(item.subject.removeprefix(prefix))
                found.append(self._current(ip, json.loads(item.data)))
        return sorted((e for e in found if e), key=lambda e: e.at)

    def _current(self, ip: str, value: dict[str, object]) -> Entry | None:
        until = float(str(value["until"]))
        if until <= self._clock():
            return None
        return Entry(ip, str(value["user"]), float(str(value["at"])), until, str(value["by"]))


def _ip_of(key: str) -> str:
    kind, _, rest = key.partition(".")
    return rest if kind == "v4" else str(ip_address(int(rest, 16)))
