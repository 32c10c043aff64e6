"""The five services as `tubepost up` sees them: settings, entry, what they own of /v1."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import services.local.app
import services.local.settings
import services.popauth.app
import services.popauth.settings
import services.remote.app
import services.remote.settings
import services.scheduler.app
import services.scheduler.settings
import services.smtpd.app
import services.smtpd.settings
from tubepost.runtime import Context
from tubepost.settings import CommonSettings


@dataclass(frozen=True, slots=True)
class Service:
    """`owns`: the first parts of its paths under /v1."""

    settings: type[CommonSettings]
    serve: Callable[[Any, Context], Coroutine[Any, Any, None]]
    owns: tuple[str, ...] = ()


SERVICES: Mapping[str, Service] = {
    "scheduler": Service(
        services.scheduler.settings.Settings,
        services.scheduler.app.serve,
        ("queue", "pauses", "destinations", "events"),
    ),
    "popauth": Service(
        services.popauth.settings.Settings,
        services.popauth.app.serve,
        (
            *("domains", "accounts", "accounts:bulk", "aliases", "lists", "addresses", "self"),
            *("quota", "history", "resolve", "tokens", "relay", "control"),
        ),
    ),
    "local": Service(services.local.settings.Settings, services.local.app.serve),
    "remote": Service(
        services.remote.settings.Settings,
        services.remote.app.serve,
        ("hosts", "probe", "suppressions"),
    ),
    "smtpd": Service(
        services.smtpd.settings.Settings, services.smtpd.app.serve, ("messages", "smtp")
    ),
}
