"""The hosts of a route's relays: they are ours to set, so what is wrong with them is no bounce."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.remote.loop_guard import Ourselves
from services.remote.mx import Found, Host, Resolver
from tubepost.outcome import Deferred, Failed
from tubepost.smtproutes import Relay

SMTP_PORT = 25
"""Where the world reaches us."""


async def relay_hosts(
    relays: Sequence[Relay], resolver: Resolver, us: Ourselves, port: int
) -> Found:
    """All addresses of the first relay, then those of the next one. `port`: where none is named.

    A relay that has none, or is `us`, is passed over while there is another one.
    """
    if len(relays) == 1:  # without a task for it: most routes are such
        return _of(relays[0], await resolver.addresses(relays[0].host), us, port)
    answers = await asyncio.gather(*(resolver.addresses(relay.host) for relay in relays))
    hosts: list[Host] = []
    problems: list[Deferred] = []
    for rank, (relay, answer) in enumerate(zip(relays, answers, strict=True)):
        found = _of(relay, answer, us, port)
        if isinstance(found, Deferred):
            problems.append(found)
        else:
            hosts += [replace(host, preference=rank) for host in found]
    return hosts or problems[0]


def _of(relay: Relay, answer: Found, us: Ourselves, port: int) -> list[Host] | Deferred:
    if isinstance(answer, Deferred):
        return answer
    if isinstance(answer, Failed):
        return _missing(relay.host)
    port = relay.port or port
    if port == SMTP_PORT and (relay.host in us or any(host.ip in us for host in answer)):
        return _ourselves(relay.host)
    return [replace(host, port=port) for host in answer]


def _missing(name: str) -> Deferred:
    text = f"Sorry, I couldn't find an address of {name}, the relay in smtproutes. (#4.3.5)"
    return Deferred(text=text, status="4.3.5")


def _ourselves(name: str) -> Deferred:
    text = (
        f"Sorry, {name}, the relay in smtproutes, is this system itself: the mail would come back. "
        "(#4.3.5)"
    )
    return Deferred(text=text, status="4.3.5")
