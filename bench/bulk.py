"""A newsletter in a process of its own: `python -m bench.bulk --port N`, until it is ended.

Bulk mail to many domains at once at a steady pace: more deliveries than slots, not more SMTP
sessions than the machine has CPU for.
"""

import argparse
import asyncio
import contextlib
import itertools
from random import Random

from bench import lone

DOMAINS = 1000
RECIPIENTS = 100
EVERY = 0.5
"""Seconds between two mails: with RECIPIENTS domains each, 200 deliveries a second come in."""

HEAD = b"From: <news@flood.example>\r\nSubject: news\r\nPrecedence: bulk\r\n\r\n"
MAIL = HEAD + b"News, news, news.\r\n" * 100


async def flood(port: int) -> None:
    """For ever. Raises BenchError once a mail is refused."""
    rng, loop = Random(1), asyncio.get_running_loop()
    names = [f"bulk{number:04d}.example" for number in range(DOMAINS)]
    began = loop.time()
    for number in itertools.count():
        await asyncio.sleep(began + number * EVERY - loop.time())
        to = [f"reader@{domain}" for domain in rng.sample(names, RECIPIENTS)]
        await lone.submit(port, "news@flood.example", to, MAIL)


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="bench.bulk", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(flood(parser.parse_args().port))


if __name__ == "__main__":
    main()
