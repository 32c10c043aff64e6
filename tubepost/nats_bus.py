"""The Bus on a real nats-server with JetStream.

Only this module, nats_headers, nats_pull, nats_requests and provision know nats-py. Every failure
of the library or the server becomes Unavailable, Conflict or StoreFull.
"""

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from tubepost import maillog
from tubepost.errors import Conflict, StoreFull, Unavailable
from tubepost.nats_headers import HeaderClient
from tubepost.nats_pull import NETWORK_ERRORS, JobSource, follow
from tubepost.nats_requests import Requests
from tubepost.ports import CaughtUp, Job, Stored, Write
from tubepost.tasks import heed_cancellation

TIMEOUT = 4.0
"""Seconds for one call. An election of a new leader takes longer: callers repeat (mailstore)."""

CONFLICTS = {10071, 10164}
FULL = {10077, 10023, 10047, 10028}


class NatsBus:
    """One connection. Use `connect`, and `close` when done."""

    def __init__(self, client: Client) -> None:
        self._nc = client
        self._requests = Requests(client)
        self._sources: dict[str, JobSource] = {}
        self._reconnected = asyncio.Event()
        self._closing = False
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(
        cls, servers: list[str], *, name: str, user: str = "", password: str = ""
    ) -> "NatsBus":
        """Connects, waiting for a server as long as it takes. Cancel to give up."""
        client = HeaderClient()
        bus = cls(client)
        first = True
        while True:
            try:
                await client.connect(
                    servers,
                    name=name,
                    user=user or None,
                    password=password or None,
                    inbox_prefix=f"_INBOX_{user or name}",
                    error_cb=_on_error,
                    reconnected_cb=bus._on_reconnect,
                    disconnected_cb=bus._on_disconnect,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # a float is fine, and 1 s is long
                    connect_timeout=2,
                    ping_interval=10,
                    # A publish waits for a server that hangs no longer than a call does.
                    flush_timeout=TIMEOUT,
                    flusher_queue_size=0,
                )
            except NETWORK_ERRORS as error:
                if first:
                    maillog.bus_away(str(error) or type(error).__name__)
                first = False
                await asyncio.sleep(0.2)
            else:
                await bus._requests.open()
                return bus

    @property
    def client(self) -> Client:
        """For provision, which speaks the stream API."""
        return self._nc

    @property
    def connected(self) -> bool:
        """See ports.Bus."""
        return self._nc.is_connected

    async def reconnected(self) -> None:
        """Waits until the connection was lost and has been made anew."""
        await self._reconnected.wait()

    async def close(self) -> None:
        """Sends what is buffered and closes."""
        self._closing = True
        for task in self._answering:
            task.cancel()
        try:
            await self._nc.drain()
        except NETWORK_ERRORS:
            await self._nc.close()

    async def append(  # noqa: PLR0913 - the port's
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        msg_id: str | None = None,
        expect: int | None = None,
        replace: bool = False,
        ttl: float | None = None,
    ) -> int:
        """See ports.Bus."""
        all_headers = dict(headers or {})
        if msg_id is not None:
            all_headers["Nats-Msg-Id"] = msg_id
        if expect is not None:
            all_headers["Nats-Expected-Last-Subject-Sequence"] = str(expect)
        if replace:
            all_headers["Nats-Rollup"] = "sub"
        if ttl is not None:
            all_headers["Nats-TTL"] = f"{ttl:g}s"
        answer = await self._call(subject, data, all_headers or None)
        return int(_checked(answer.data)["seq"])

    async def append_all(self, writes: Sequence[Write]) -> int:
        """See ports.Bus. An atomic batch (ADR-50).

        Nothing is stored before its last member, and all expectations are checked then: its answer
        stands for all. One that did not get in makes the batch incomplete, so none needs its own.
        """
        name = secrets.token_hex(16)
        *others, last = (_member(name, n, write) for n, write in enumerate(writes, 1))
        for subject, data, headers in others:
            await self._send(subject, data, headers)
        subject, data, headers = last
        answer = await self._call(subject, data, {**headers, "Nats-Batch-Commit": "1"})
        return int(_checked(answer.data)["seq"])

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        """See ports.Bus."""
        if leader:
            return await self._read_from_leader(stream, subject)
        answer = await self._call(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"")
        headers = answer.headers or {}
        status = headers.get("Status")
        if status == "404":
            return None
        if status is not None:
            raise Unavailable(f"{stream}: {status} {headers.get('Description', '')}")
        at = _seconds(headers["Nats-Time-Stamp"])
        seq = int(headers["Nats-Sequence"])
        return Stored(headers["Nats-Subject"], seq, headers, answer.data, at)

    async def _read_from_leader(self, stream: str, subject: str) -> Stored | None:
        query = json.dumps({"last_by_subj": subject}).encode()
        answer = json.loads((await self._call(f"$JS.API.STREAM.MSG.GET.{stream}", query)).data)
        error = answer.get("error")
        if error is None:
            found = answer["message"]
            headers = _parse_headers(base64.b64decode(found.get("hdrs", "")))
            data = base64.b64decode(found.get("data", ""))
            at = _seconds(found["time"])
            return Stored(found["subject"], int(found["seq"]), headers, data, at)
        if error.get("err_code") == 10037:  # no message found
            return None
        raise Unavailable(f"{stream}: {error.get('description')}")

    async def purge(self, stream: str, subject: str, *, through: int | None = None) -> None:
        """See ports.Bus."""
        query: dict[str, object] = {"filter": subject}
        if through is not None:
            query["seq"] = through + 1
        answer = await self._call(f"$JS.API.STREAM.PURGE.{stream}", json.dumps(query).encode())
        _checked(answer.data)

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """See ports.Bus."""
        found: list[str] = []
        while True:
            query = json.dumps({"subjects_filter": pattern, "offset": len(found)}).encode()
            answer = await self._call(f"$JS.API.STREAM.INFO.{stream}", query)
            info = _checked(answer.data)
            page = info["state"].get("subjects") or {}
            found += page
            if not page or len(found) >= info["total"]:
                return sorted(found)

    def follow(
        self, stream: str, subject: str, *, after: int = 0, headers_only: bool = False
    ) -> AsyncGenerator[Stored | CaughtUp, None]:
        """See ports.Bus."""
        return follow(
            self._nc, self._reconnected, stream, subject, after=after, headers_only=headers_only
        )

    async def count(self, stream: str) -> int:
        """See ports.Bus."""
        return int((await self._state(stream))["messages"])

    async def position(self, stream: str, *, since: float | None = None) -> int:
        """See ports.Bus."""
        if since is not None:
            begin = datetime.fromtimestamp(since, UTC).isoformat()
            query = json.dumps({"start_time": begin, "batch": 1}).encode()
            first = (await self._call(f"$JS.API.DIRECT.GET.{stream}", query)).headers or {}
            if "Nats-Sequence" in first:
                return int(first["Nats-Sequence"]) - 1
        return int((await self._state(stream))["last_seq"])

    async def _state(self, stream: str) -> dict[str, Any]:
        info = _checked((await self._call(f"$JS.API.STREAM.INFO.{stream}", b"")).data)
        state: dict[str, Any] = info["state"]
        return state

    def work(self, channel: str, slots: int) -> AsyncIterator[Job]:
        """See ports.Bus."""
        source = JobSource(self._nc, self._reconnected, channel, slots)
        self._sources[channel] = source
        return source.jobs()

    def release(self, channel: str) -> None:
        """See ports.Bus."""
        self._sources[channel].release()

    async def tell(self, subject: str, data: bytes = b"") -> None:
        """See ports.Bus."""
        try:
            await self._nc.publish(subject, data)
        except NETWORK_ERRORS as error:
            raise Unavailable(f"{subject}: {error!r}") from error

    async def _send(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        """Without an answer; nats-py would keep it for a server that is away."""
        if not self._nc.is_connected:
            raise Unavailable(f"{subject}: no connection")
        try:
            await self._nc.publish(subject, data, headers=headers)
        except NETWORK_ERRORS as error:
            raise Unavailable(f"{subject}: {error!r}") from error

    async def ask(self, subject: str, data: bytes, *, seconds: float = 5.0) -> bytes:
        """See ports.Bus."""
        return (await self._call(subject, data, seconds=seconds)).data

    async def ask_all(self, subject: str, *, seconds: float) -> list[bytes]:
        """See ports.Bus."""
        if not self._nc.is_connected:
            raise Unavailable(f"{subject}: no connection")  # not "nobody answered"
        answers: list[bytes] = []

        async def hear(msg: Msg) -> None:
            if not (msg.headers and "Status" in msg.headers):
                answers.append(msg.data)

        try:
            inbox = self._nc.new_inbox()
            subscription = await self._nc.subscribe(inbox, cb=hear)
            await self._nc.publish(subject, b"", reply=inbox)
            await asyncio.sleep(seconds)  # nobody knows how many will answer
            await subscription.unsubscribe()
        except NETWORK_ERRORS as error:
            raise Unavailable(f"{subject}: {error!r}") from error
        return answers

    async def answer(
        self,
        subject: str,
        handler: Callable[[str, bytes], Awaitable[bytes | None]],
        *,
        group: str = "",
        at_once: int = 1,
    ) -> None:
        """See ports.Bus. nats-py itself awaits one answer before it begins the next."""
        free = asyncio.Semaphore(at_once)

        async def reply_to(msg: Msg) -> None:
            reply = await handler(msg.subject, msg.data)
            if msg.reply and reply is not None:
                await self._nc.publish(msg.reply, reply)

        def over(task: asyncio.Task[None]) -> None:
            free.release()
            self._answering.discard(task)
            if not task.cancelled() and (error := task.exception()):
                maillog.bus_error(f"answering {subject}: {error!r}")

        async def reply_beside(msg: Msg) -> None:
            await free.acquire()
            task = asyncio.create_task(reply_to(msg))
            self._answering.add(task)
            task.add_done_callback(over)

        hear = reply_to if at_once == 1 else reply_beside
        await self._nc.subscribe(subject, queue=group, cb=hear)
        with contextlib.suppress(*NETWORK_ERRORS):  # away: it hears of us when it is back
            await self._is_known()
        heed_cancellation()

    async def _is_known(self) -> None:
        """Until the server has heard all we said: a question may come before it knows of us.

        Not nats-py's flush: ended, or out of time, that cancels what the PONG sets later on, and
        the error ends the reading. From then on we would hear nothing.
        """
        pong = asyncio.get_running_loop().create_future()
        await self._nc._send_ping(pong)
        await asyncio.wait({pong}, timeout=TIMEOUT)

    async def store_usage(self) -> float | None:
        """The share of the account's file store in use, 0 to 1; None where it has no limit."""
        info = _checked((await self._call("$JS.API.INFO", b"")).data)
        limit = int(info["limits"]["max_storage"])
        return int(info["storage"]) / limit if limit > 0 else None

    async def _call(
        self,
        subject: str,
        data: bytes,
        headers: dict[str, str] | None = None,
        *,
        seconds: float = TIMEOUT,
    ) -> Msg:
        try:
            return await self._requests.call(subject, data, seconds=seconds, headers=headers)
        except NETWORK_ERRORS as error:
            raise Unavailable(f"{subject}: {error or type(error).__name__}") from error

    async def _on_disconnect(self) -> None:
        self._requests.connection_lost()
        if not self._closing:
            maillog.bus_away("connection lost")

    async def _on_reconnect(self) -> None:
        maillog.bus_back()
        self._reconnected.set()
        self._reconnected.clear()


@dataclass(frozen=True, slots=True)
class ApiError:
    """The `error` object of a JetStream answer."""

    err_code: int
    description: str

    def raised(self) -> Exception:
        if self.err_code in CONFLICTS:
            return Conflict(self.description)
        if self.err_code in FULL:
            return StoreFull(self.description)
        return Unavailable(f"{self.description} ({self.err_code})")


def _member(batch: str, number: int, write: Write) -> tuple[str, bytes, dict[str, str]]:
    """One message of an atomic batch: subject, data, headers."""
    headers = {**write.headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
    if write.expect is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(write.expect)
    return write.subject, write.data, headers


def _checked(data: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(data)
    error = answer.get("error")
    if error:
        raise ApiError(error.get("err_code", 0), error.get("description", "")).raised()
    return answer


def _parse_headers(block: bytes) -> dict[str, str]:
    """`NATS/1.0\\r\\nName: value\\r\\n...` (ADR-4)."""
    lines = block.decode().split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name: value.strip() for name, _, value in pairs}


def _seconds(time: str) -> float:
    """RFC 3339 with up to nine digits of a fraction, UTC -> seconds since 1970."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


async def _on_error(error: Exception) -> None:
    if isinstance(error, OSError):  # each failed try to reconnect; bus_away has said it once
        return
    maillog.bus_error(str(error) or type(error).__name__)
