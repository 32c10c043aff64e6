"""A Tubepost the queue bench starts, stops, kills, asks and weighs. Must not measure by itself."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from bench.load import Load, put
from bench.peers import BenchError, TubepostPeer

WARM_UP = Load("warm-up", "warmup")
WARM_UP_MAILS = 200
LOADED_WITHIN = 600.0
PATIENCE = 60.0
"""Seconds a question to the queue may take."""


class Platform(TubepostPeer):
    """`tubepost up --processes` on a data folder that outlives its processes."""

    ready_within = 300.0
    shards = 2

    def __init__(self, folder: Path, mailboxes: Sequence[str], command: str) -> None:
        folder.mkdir()
        super().__init__(folder, [WARM_UP.mailbox, *mailboxes], command)
        beside = Path(command).parent / "nats-server"
        self.nats_server = str(beside) if beside.exists() else shutil.which("nats-server") or ""

    def warm_up(self) -> None:
        """Mails nobody measures. Once: its mailbox has to be empty."""
        put(self, WARM_UP, WARM_UP_MAILS)

    def kill(self) -> None:
        """SIGKILL to `up`; the kernel then kills its children. Returns when all are gone."""
        pids = self.pids()
        self._process.kill()
        self._process.wait()
        self._up, self.root = None, 0
        give_up = time.monotonic() + PATIENCE
        while any(_runs(pid) for pid in pids):
            if time.monotonic() > give_up:
                raise BenchError("a child of tubepost up outlived it")
            time.sleep(0.02)

    @property
    def _process(self) -> "subprocess.Popen[bytes]":
        if self._up is None:
            raise BenchError("the platform does not run")
        return self._up

    def pid_of(self, service: str) -> int:
        """The one process of a service or of nats-server. Raises BenchError."""
        found = [pid for pid in self.pids() if self.process_name(pid) == service]
        if len(found) != 1:
            raise BenchError(f"{len(found)} processes of {service}")
        return found[0]

    def memory(self, service: str) -> int:
        """Resident octets of a service."""
        for line in Path(f"/proc/{self.pid_of(service)}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise BenchError(f"{service} has no memory")

    def shards_lost(self) -> int:
        """How often since its last start a scheduler lost a shard, and had to load it again."""
        return self._stderr.read_text(errors="replace").count('"event": "shard.lost"')

    def set(self, name: str, *lines: str) -> None:
        """Sets a control setting."""
        self.tubepost("control", "set", name, *lines)

    def client(self) -> httpx.Client:
        """For /v1 and /metrics of the running platform."""
        return httpx.Client(**self.access(), timeout=PATIENCE)

    def access(self) -> dict[str, Any]:
        """Address and token, as arguments of an httpx client."""
        address = (self.data / "admin").read_text().strip()
        token = (self.data / "token").read_text().strip()
        return {
            "base_url": f"http://{address}",
            "headers": {"Authorization": f"Bearer {token}"},
        }

    def queued(self) -> int:
        """Mails in the queue. Raises BenchError when no owner has answered for long."""
        give_up = time.monotonic() + LOADED_WITHIN
        with self.client() as client:
            while (answer := client.get("/v1/queue/counts")).is_error:
                if time.monotonic() > give_up:
                    raise BenchError(f"/v1/queue/counts: {answer.status_code} {answer.text}")
                time.sleep(0.1)
            return int(answer.json()["messages"])


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
