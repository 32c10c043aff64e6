"""The processes of a chaos run: nats-servers, several replicas of each service, their settings."""

import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.chaos.client import Address
from tests.chaos.processes import NotReady, Process
from tests.chaos.servers import SHARDS, Servers
from tests.chaos.workload import BOXES, FAR, HOME, POSTMASTER, SENDERS

REPLICAS: Mapping[str, int] = {"scheduler": 2, "popauth": 1, "remote": 2, "local": 2, "smtpd": 2}
READY_WITHIN = 60.0
STOP_WITHIN = 45.0
DRAIN = 30
RETRIES = "retryschedule"
RETRY_SOON = "exponential 1 2 5"
"""A deferred mail is tried again after 1, 2, 4, 5, 5 ... seconds."""


class Fleet:
    """Everything that runs below `folder`."""

    def __init__(self, folder: Path, servers: int, log_level: str) -> None:
        self._mail = folder / "mail"
        self._mail.mkdir()
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._token, self._level = secrets.token_urlsafe(16), log_level
        self.servers = Servers(folder, self.logs, servers)
        self._replicas = servers
        self.services = {
            service: [self._process(service, n + 1) for n in range(count)]
            for service, count in REPLICAS.items()
        }

    def _process(self, service: str, number: int) -> Process:
        name = f"{service}-{number}"
        values = {
            "nats_url": self.servers.url,
            "nats_user": service,
            "nats_password": self.servers.passwords[service],
            "shards": str(SHARDS),
            "replicas": str(self._replicas),
            "hostname": name,
            "admin_listen": "127.0.0.1:0",
            "token": self._token,
            "log_level": self._level,
            "drain": str(DRAIN),
            "mail_root": str(self._mail),
            "smtp": "127.0.0.1:0",
            "pop3": "127.0.0.1:0",
            "source_address": source_address(number),
        }
        environment = {f"TUBEPOST_{key.upper()}": value for key, value in values.items()}
        command = [sys.executable, "-m", f"services.{service}"]
        return Process(name, command, self.logs / f"{name}.log", environment=lambda: environment)

    @property
    def processes(self) -> list[Process]:
        """All, in the order in which they are started."""
        return [*self.servers.processes, *(p for group in self.services.values() for p in group)]

    async def start(self, sink_port: int) -> bool:
        """Starts all of them; whether deferred mail comes back within seconds. Raises NotReady.

        Those that act on the settings come last: what they begin with is what was set.
        """
        for server in self.servers.processes:
            await server.start()
        await self.servers.healthy()
        await self._start("scheduler", "popauth")
        retries = await self._set_up(sink_port)
        await self._start("remote", "local", "smtpd")
        return retries

    async def _start(self, *services: str) -> None:
        started = [process for service in services for process in self.services[service]]
        for process in started:
            await process.start()
        for process in started:
            await process.wait_ready(READY_WITHIN)

    async def _set_up(self, sink_port: int) -> bool:
        async with self.api("popauth") as http:
            await _must(http.post("domains", json={"name": HOME}))
            for address in (*BOXES, *SENDERS, POSTMASTER):
                account = {"address": address, "password": secrets.token_urlsafe(8)}
                await _must(http.post("accounts", json=account))
            settings = {
                "me": [f"mx.{HOME}"],
                "rcpthosts": [f".{FAR}"],
                "smtproutes": [f":127.0.0.1:{sink_port}"],
                "doublebounceto": [POSTMASTER],
                "concurrencyremote": ["100"],
            }
            for name, lines in settings.items():
                await _must(http.put(f"control/{name}", json={"lines": lines}))
            answer = await http.put(f"control/{RETRIES}", json={"lines": [RETRY_SOON]})
            return answer.is_success

    def api(self, service: str) -> httpx.AsyncClient:
        """/v1 of the first replica of a service that is ready. Raises NotReady."""
        for process in self.services[service]:
            if process.said:
                return httpx.AsyncClient(
                    base_url=f"http://{process.said['admin']}/v1/",
                    headers={"Authorization": f"Bearer {self._token}"},
                    timeout=20,
                )
        raise NotReady(f"no {service} is ready")

    def smtp(self) -> Sequence[Address]:
        """Where smtpd listens now."""
        places = [p.said["smtp"].rpartition(":") for p in self.services["smtpd"] if p.said]
        return [(host, int(port)) for host, _, port in places]

    async def in_queue(self) -> int | None:
        """Mails in the queue as a scheduler counts them; None where none can tell now."""
        try:
            async with self.api("scheduler") as http:
                answer = await http.get("queue/counts")
        except (NotReady, httpx.HTTPError):
            return None
        return int(answer.json()["messages"]) if answer.is_success else None

    async def stop(self) -> dict[str, int]:
        """SIGTERM to the services, then to the servers; exit codes that are not 0."""
        ordered = reversed(self.processes)
        codes = {process.name: await process.stop(STOP_WITHIN) for process in ordered}
        return {name: code for name, code in codes.items() if code and "nats" not in name}

    async def kill(self) -> None:
        """Ends what still runs."""
        for process in self.processes:
            await process.kill()

    def files(self, address: str) -> list[Path]:
        """The mails in an account's Maildir."""
        local, _, domain = address.partition("@")
        return sorted(self._mail.glob(f"*/{domain}/*/{local}/Maildir/new/*"))


def source_address(number: int) -> str:
    """Where replica `number` of remote connects from."""
    return f"127.0.0.{10 + number}"


async def _must(answer: object) -> None:
    response: httpx.Response = await answer  # type: ignore[misc]
    if response.is_error:
        raise NotReady(f"{response.request.url.path}: {response.text}")
