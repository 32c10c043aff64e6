"""The relay list: addresses that have just logged in, qmail's open-smtp file without the file.

One key per client address in a bucket whose entries end by themselves; the end also stands in the
entry and is checked by whoever reads it, so no sweeper and no event is needed to close the relay.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv6Network, ip_address

from tubepost import subjects
from tubepost.errors import Conflict, Unavailable
from tubepost.keyed import Bucket, Value
from tubepost.ports import Bus, CaughtUp, Clock
from tubepost.smtp_values import MOST_USERS
from tubepost.tcprules import as_ipv6


@dataclass(frozen=True, slots=True)
class Entry:
    """`at`, `until`: seconds since 1970. `by`: the instance of popauth that wrote it.

    `users`: who logged in from there within the window, each with its last login; the newest 20.
    `warned`: when so many of them were last worth a warning, 0 = never.
    """

    ip: str
    user: str
    at: float
    until: float
    by: str
    users: Mapping[str, float] = field(default_factory=dict)
    warned: float = 0.0


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

_TRIES = 32
"""Each time one of those who write at once wins: so many may log in from one address at once."""


def may_be_listed(ip: str, *, allowed: Networks, ours: Networks = ()) -> bool:
    """Whether an address may come onto the list: global ones may, others only if allowed by name.

    Loopback, private, shared (CGNAT's inside), link-local and reserved addresses, and `ours`, are
    those of a cluster, a proxy or a NAT: opening the relay for one of them opens it for many.
    """
    if in_networks(ip, allowed):
        return True
    return ip_address(normal(ip)).is_global and not in_networks(ip, ours)


def is_ours(ip: str, *, allowed: Networks, ours: Networks) -> bool:
    """Whether an address is one of `ours` that was not allowed by name."""
    return in_networks(ip, ours) and not in_networks(ip, allowed)


def in_networks(ip: str, networks: Networks) -> bool:
    """Whether an address (IPv4, IPv6 or v4-mapped) is in one of them."""
    if not networks:
        return False
    number = as_ipv6(ip)
    return any(number in network for network in networks)


class RelayList:
    """Raises Unavailable when the bus is away."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._bucket = Bucket(bus, subjects.RELAY)

    async def add(
        self, ip: str, *, user: str, window: float, by: str, many: int = 0
    ) -> tuple[Entry, bool]:
        """Lists an address for `window` seconds from now; a later login starts it over.

        Also says whether this login made it `many` users (0 = never): once in a window, whichever
        instance sees it. Written by compare-and-set, so that no login at the same moment is lost.
        """
        for attempt in range(_TRIES):
            before, revision = await self._stored(ip, leader=attempt > 0)
            now = self._clock()
            users = _recent(before, user, now, window)
            warned = before.warned if before else 0.0
            alarm = 0 < many <= len(users) and warned <= now - window
            entry = Entry(normal(ip), user, now, now + window, by, users, now if alarm else warned)
            try:
                await self._bucket.put(key_for(ip), _value(entry), expect=revision)
            except Conflict:
                continue
            return entry, alarm
        raise Unavailable(f"the entry of {ip} is written by others all the time")

    async def lookup(self, ip: str) -> Entry | None:
        """The entry that holds now. "Not listed" is confirmed by the leader."""
        for leader in (False, True):
            entry, _ = await self._stored(ip, leader=leader)
            if entry and entry.until > self._clock():
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
                found.append(_entry(ip, json.loads(item.data)))
        now = self._clock()
        return sorted((e for e in found if e.until > now), key=lambda e: e.at)

    async def _stored(self, ip: str, *, leader: bool) -> tuple[Entry | None, int]:
        """The entry, over or not, and its revision; a tombstone has one, too."""
        stream = subjects.bucket_stream(subjects.RELAY)
        subject = subjects.bucket_key(subjects.RELAY, key_for(ip))
        stored = await self._bus.read(stream, subject, leader=leader)
        if stored is None:
            return None, 0
        return _entry(normal(ip), json.loads(stored.data)) if stored.data else None, stored.seq


def _recent(before: Entry | None, user: str, now: float, window: float) -> dict[str, float]:
    """Who logged in within the window, this user included, the newest last and 20 at most."""
    users = dict(before.users) if before else {}
    users.pop(user, None)
    found = [(name, at) for name, at in users.items() if at > now - window]
    return dict([*sorted(found, key=lambda item: item[1]), (user, now)][-MOST_USERS:])


def _value(entry: Entry) -> Value:
    value = asdict(entry)
    del value["ip"]  # it is the key
    return value


def _entry(ip: str, value: Value) -> Entry:
    """Entries of a release that kept the last user only have neither `users` nor `warned`."""
    user, at = str(value["user"]), float(value["at"])
    users = {str(name): float(then) for name, then in value.get("users", {user: at}).items()}
    until, warned = float(value["until"]), float(value.get("warned", 0))
    return Entry(ip, user, at, until, str(value["by"]), users, warned)


def _ip_of(key: str) -> str:
    kind, _, rest = key.partition(".")
    return rest if kind == "v4" else str(ip_address(int(rest, 16)))
