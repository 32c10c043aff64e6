"""The control settings in force: a mirror of the bucket, read through the table of settings."""

from ipaddress import IPv6Network
from typing import Any, TypeVar

from tubepost import control_values as values
from tubepost import maillog, remote_values, smtp_values, subjects
from tubepost.errors import BadInput
from tubepost.keyed import Bucket, Mirror, Value
from tubepost.ports import Bus
from tubepost.retry import Rules
from tubepost.setting import Setting

T = TypeVar("T")


class Control:
    """`hostname` stands in for `me` until `me` is set. `run` keeps the settings up to date."""

    def __init__(self, bus: Bus, hostname: str) -> None:
        self._hostname = hostname
        self._parsed: dict[str, Any] = {}
        self._unreadable: set[str] = set()
        self.changes = 0
        """Grows with each change: what was made from settings is to be made anew."""
        self._bucket = Bucket(bus, subjects.CONTROL)
        self.mirror = Mirror(bus, subjects.CONTROL, self._on_change)

    async def run(self) -> None:
        """Follows the bucket for ever; `mirror.loaded` tells when it is there."""
        await self.mirror.run()

    def get(self, setting: Setting[T]) -> T:
        """The value in force."""
        value: T = self._parsed.get(setting.name, setting.default)
        return value

    def is_unreadable(self, setting: Setting[Any]) -> bool:
        """Whether it is set to what this release cannot read: its default rules, nobody's wish."""
        return setting.name in self._unreadable

    @property
    def me(self) -> str:
        return self.get(values.ME) or self._hostname

    @property
    def greeting(self) -> str:
        return self.get(smtp_values.SMTPGREETING) or self.me

    @property
    def helohost(self) -> str:
        return self.get(remote_values.HELOHOST) or self.me

    @property
    def own_networks(self) -> tuple[IPv6Network, ...]:
        """Of our balancers and nodes: an address there stands for many clients."""
        return self.get(smtp_values.PROXYNETWORKS) + self.get(smtp_values.CLUSTERNETWORKS)

    @property
    def bounce_sender(self) -> str:
        return _at(self.get(values.BOUNCEFROM), self.get(values.BOUNCEHOST) or self.me)

    @property
    def double_bounce_recipient(self) -> str:
        return _at(self.get(values.DOUBLEBOUNCETO), self.get(values.DOUBLEBOUNCEHOST) or self.me)

    @property
    def retry_rules(self) -> Rules:
        return Rules(
            self.get(values.QUEUELIFETIME),
            self.get(values.RETRYSCHEDULE),
            self.get(values.RETRYJITTER) / 100,
        )

    def lines(self, name: str) -> tuple[str, ...] | None:
        """A setting as it was written; None where its default is in force."""
        found = self.mirror.values.get(values.setting(name).name)
        return tuple(found[0]["lines"]) if found else None

    async def set(self, name: str, lines: tuple[str, ...]) -> None:
        """Stores a setting; no lines = back to the default. BadInput keeps the old value."""
        setting = values.setting(name)
        if lines:
            try:
                setting.parse(lines)
            except BadInput as error:
                raise BadInput(f"{name}: {error}; the old value is kept") from error
        revision = await self._bucket.put(name, {"lines": list(lines)} if lines else None)
        await self.mirror.seen(revision)

    def _on_change(self, name: str, value: Value | None) -> None:
        if name not in values.SETTINGS:
            return  # written by a newer release
        self.changes += 1
        self._parsed.pop(name, None)
        self._unreadable.discard(name)
        if value is None:
            return
        try:
            self._parsed[name] = values.SETTINGS[name].parse(tuple(value["lines"]))
        except BadInput as error:  # stored by a release that took it: the default is in force
            self._unreadable.add(name)
            maillog.setting_refused(name, str(error))


def _at(mailbox: str, host: str) -> str:
    return mailbox if "@" in mailbox else f"{mailbox}@{host}"
