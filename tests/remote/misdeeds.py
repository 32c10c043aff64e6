"""What a hostile peer does wrong, one thing each."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.remote.hostile_peer import Misdeed, Session

DRIP = 0.005
"""Seconds between two octets that never make a reply."""


async def drip_reply(session: Session, usual: bytes) -> None:
    for number in range(len(usual)):
        await session.say(usual[number : number + 1])
        await asyncio.sleep(0)


async def drip_for_ever(session: Session, _usual: bytes) -> None:
    while not session.peer.relented.is_set():
        await session.say(b"2")
        await asyncio.sleep(DRIP)


async def silent(session: Session, _usual: bytes) -> None:
    await session.hear_no_more()


async def deaf(session: Session, _usual: bytes) -> None:
    await session.read_no_more()


async def closes(session: Session, _usual: bytes) -> None:
    await session.close()


async def resets(session: Session, _usual: bytes) -> None:
    session.reset()


async def half_a_reply(session: Session, usual: bytes) -> None:
    await session.say(usual[: len(usual) // 2] or b"25")
    await session.close()


async def half_and_silence(session: Session, usual: bytes) -> None:
    await session.say(usual[: len(usual) // 2] or b"25")
    await session.hear_no_more()


async def yes_and_closes(session: Session, usual: bytes) -> None:
    await session.say(usual)
    await session.close()


async def yes_and_resets(session: Session, usual: bytes) -> None:
    await session.say(usual)
    session.reset()


async def closing_and_stays(session: Session, _usual: bytes) -> None:
    await session.say(b"421 4.3.2 closing\r\n")


async def closing(session: Session, _usual: bytes) -> None:
    await session.say(b"421 4.3.2 closing\r\n")
    await session.close()


async def twice(session: Session, usual: bytes) -> None:
    await session.say(usual + usual)


async def ahead(session: Session, usual: bytes) -> None:
    """The replies to commands that have not come yet, too."""
    await session.say(usual + b"250 ok\r\n" * 3 + b"354 go ahead\r\n" + b"250 2.0.0 taken\r\n")


async def huge(session: Session, usual: bytes) -> None:
    """The usual code, at the limits of lines and octets."""
    code = usual[:3]
    await session.say((code + b"-" + b"x" * 4000 + b"\r\n") * 199 + code + b" end\r\n")


async def with_nul(session: Session, usual: bytes) -> None:
    await session.say(usual[:4] + b"\x00\x1b[2J\xff\x7f" + usual[4:])


def saying(octets: bytes) -> Callable[[Session, bytes], Awaitable[None]]:
    async def say(session: Session, _usual: bytes) -> None:
        await session.say(octets)

    return say


def flooding(octets: bytes) -> Callable[[Session, bytes], Awaitable[None]]:
    async def flood(session: Session, _usual: bytes) -> None:
        await session.flood(octets)

    return flood


MISDEEDS = (
    Misdeed("is silent", silent, unasked=True),
    Misdeed("stops reading", deaf, unasked=True),
    Misdeed("closes", closes, unasked=True),
    Misdeed("resets", resets, unasked=True),
    Misdeed("drips the reply", drip_reply, yes=True, go=True),
    Misdeed("drips for ever", drip_for_ever, unasked=True),
    Misdeed("half a reply, then closes", half_a_reply, unasked=True),
    Misdeed("half a reply, then silence", half_and_silence, unasked=True),
    Misdeed("replies and closes", yes_and_closes, yes=True),
    Misdeed("replies and resets", yes_and_resets, yes=True),
    Misdeed("421 and closes", closing, unasked=True),
    Misdeed("421 and stays", closing_and_stays, unasked=True),
    Misdeed("replies twice", twice, yes=True, go=True),
    Misdeed("replies ahead", ahead, yes=True, unasked=True, go=True),
    Misdeed("a huge reply", huge, yes=True, go=True),
    Misdeed("a reply with NUL and escapes", with_nul, yes=True, go=True),
    Misdeed("354 twice", saying(b"354 go\r\n354 go\r\n"), unasked=True, go=True),
    Misdeed("354", saying(b"354 go\r\n"), unasked=True, go=True),
    Misdeed("220", saying(b"220 hello again\r\n"), yes=True, unasked=True),  # RFC 5321 4.3.1: 2yz
    Misdeed("code 199", saying(b"199 less than nothing\r\n"), unasked=True),
    Misdeed("code 999", saying(b"999 more than all\r\n"), unasked=True),
    Misdeed("two codes in one", saying(b"250-yes\r\n550 no\r\n"), unasked=True),
    Misdeed("nonsense", saying(b"\x00\xff\xfe hello\r\n"), unasked=True),
    Misdeed("an empty line", saying(b"\r\n"), unasked=True),
    Misdeed("4xx", saying(b"451 4.3.0 not now\r\n")),
    Misdeed("5xx", saying(b"554 5.7.1 never\r\n"), no=True, unasked=True),
    Misdeed("floods a line", flooding(b"x" * 65536), unasked=True, floods=True),
    Misdeed("floods a NUL line", flooding(bytes(65536)), unasked=True, floods=True),
    Misdeed("floods one reply", flooding(b"250-more\r\n" * 6000), unasked=True, floods=True),
    Misdeed("floods replies", flooding(b"250 ok\r\n" * 6000), yes=True, unasked=True, floods=True),
    Misdeed("floods 354", flooding(b"354 go\r\n" * 6000), unasked=True, floods=True),
)
