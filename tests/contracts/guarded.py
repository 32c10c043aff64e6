"""The nats-server of `tubepost up`, with its users and their rights, for the permission tests."""

from collections.abc import Awaitable, Callable

from ctl import embedded
from tests.nats_server import NatsServer
from tubepost.nats_bus import NatsBus

Connect = Callable[[str], Awaitable[NatsBus]]
SERVICES = ("smtpd", "scheduler", "remote", "local", "popauth")


class Guarded(NatsServer):
    """The server of `tubepost up`, with a user for each service."""

    def __init__(self, config: embedded.Embedded) -> None:
        super().__init__(config.command, config.url)
        self.passwords = config.passwords
