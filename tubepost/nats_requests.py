"""Requests on the bus, cheaper than nats-py's own: most of what we do is a request and its answer.

One subscription hears every answer; a counter tells them apart. nats-py draws random tokens and
wraps each wait in a task-cancelling timeout, which together cost as much as the rest of a call
(docs/performance.md).
"""

import asyncio
import itertools

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

NO_RESPONDERS = "503"

MOST_WAITING = 16 * 1024 * 1024
"""Octets that wait for a server which hangs; until it counts as lost, nothing more is kept."""


class Requests:
    """Asks and waits for the one answer."""

    def __init__(self, client: Client) -> None:
        self._nc = client
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._numbers = itertools.count()
        self._prefix = ""

    async def open(self) -> None:
        """Subscribes; nats-py renews the subscription when it reconnects."""
        self._prefix = self._nc.new_inbox()
        await self._nc.subscribe(self._prefix + ".*", cb=self._heard)

    async def call(
        self, subject: str, data: bytes, *, seconds: float, headers: dict[str, str] | None = None
    ) -> Msg:
        """The answer. Raises nats.errors: TimeoutError, NoRespondersError, or of a publish."""
        if not self._nc.is_connected or self._nc.pending_data_size > MOST_WAITING:
            # nats-py would keep it and send it later, when the caller has long given it up.
            raise nats.errors.StaleConnectionError
        loop = asyncio.get_running_loop()
        number = str(next(self._numbers))
        answer: asyncio.Future[Msg] = loop.create_future()
        self._waiting[number] = answer
        timer = loop.call_later(seconds, _give_up, answer)
        try:
            await self._nc.publish(subject, data, reply=f"{self._prefix}.{number}", headers=headers)
            return await answer
        finally:
            timer.cancel()
            del self._waiting[number]

    def connection_lost(self) -> None:
        """No answer will come on this connection: the callers may repeat at once."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(nats.errors.StaleConnectionError())

    async def _heard(self, msg: Msg) -> None:
        answer = self._waiting.get(msg.subject.rpartition(".")[2])
        if answer is None or answer.done():
            return  # too late: whoever asked has given up, and repeats
        if not msg.data and msg.headers and msg.headers.get("Status") == NO_RESPONDERS:
            answer.set_exception(nats.errors.NoRespondersError())
        else:
            answer.set_result(msg)


def _give_up(answer: "asyncio.Future[Msg]") -> None:
    if not answer.done():
        answer.set_exception(nats.errors.TimeoutError())
