"""Whole sessions made of octets nobody foresaw: the corpus, and what is mutated from it.

Whatever a client sends: no bug of ours, each reply is one, the session ends, and as many mails lie
in the queue as had a 250. `make fuzz` runs it for longer and with other seeds.
"""

import asyncio
import os
import random
import re

import pytest

from tests.smtpd.mutation import corpus, mutated
from tests.smtpd.running import PATIENCE, Smtpd
from tubepost import metrics

RUNS = int(os.environ.get("FUZZ_RUNS", "400"))
SEED = int(os.environ.get("FUZZ_SEED", "4"))
AT_ONCE = 20

REPLY = re.compile(
    rb"(?:220|221|235|250|252|214|334|354|421|45[0-5]|50[0-4]|53[0-8]|55[0-5])[ -][\x20-\x7e]*"
)
TAKEN = re.compile(rb"250 (?:2\.0\.0 )?ok \d+ qp [0-9a-f]{23}")
TLS_BEGINS = b"220 ready for tls\r\n"


async def talk(port: int, blocks: list[bytes]) -> bytes:
    """Says the blocks, hears everything, until the server has closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def say() -> None:
        for block in blocks:
            writer.write(block)
            await writer.drain()
        writer.write_eof()

    heard = b""
    try:
        async with asyncio.timeout(PATIENCE):
            saying = asyncio.gather(say(), return_exceptions=True)
            try:
                while block := await reader.read(65_536):
                    heard += block
            except ConnectionError:
                pass  # refused, with octets of ours unread
            await saying
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return heard


def cut(octets: bytes, luck: random.Random) -> list[bytes]:
    """The octets in one to four blocks."""
    places = sorted(luck.randint(0, len(octets)) for _ in range(luck.randint(0, 3)))
    return [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]


async def taken(port: int, blocks: list[bytes]) -> int:
    """Plays one session and looks at what came back; how many mails were taken."""
    heard, _, _ = (await talk(port, blocks)).partition(TLS_BEGINS)
    *lines, rest = heard.split(b"\r\n")
    wrong = [line for line in (*lines, *filter(None, [rest])) if not REPLY.fullmatch(line)]
    assert not wrong, f"{wrong} said to {blocks!r}; add that to the corpus"
    return sum(bool(TAKEN.fullmatch(line)) for line in lines)


async def played(smtpd: Smtpd, sessions: list[list[bytes]]) -> None:
    """Plays sessions, some at once; what must be true of all of them together is checked."""
    bugs = metrics.BUGS._value.get()
    troubles: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: troubles.append(context))
    count = 0
    for start in range(0, len(sessions), AT_ONCE):
        group = sessions[start : start + AT_ONCE]
        count += sum(await asyncio.gather(*(taken(smtpd.ports["smtp"], one) for one in group)))
    assert troubles == []
    assert metrics.BUGS._value.get() == bugs
    assert len(await smtpd.mails()) == count
    assert count


async def test_the_corpus(smtpd: Smtpd) -> None:
    await smtpd.set(timeoutsmtpd="5")
    found = list(corpus().values())
    await played(smtpd, [[octets] for octets in found])


async def test_the_corpus_octet_by_octet(smtpd: Smtpd) -> None:
    found = list(corpus().values())
    await played(smtpd, [[octets[n : n + 1] for n in range(len(octets))] for octets in found])


@pytest.mark.timeout(60 + RUNS)
async def test_mutated_sessions(smtpd: Smtpd) -> None:
    luck = random.Random(SEED)
    found = list(corpus().values())
    sessions = [cut(mutated(luck.choice(found), found, luck), luck) for _ in range(RUNS)]
    await played(smtpd, sessions)
