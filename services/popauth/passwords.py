"""Passwords as argon2id hashes, made and checked off the event loop in a small pool.

A wrong name costs the same time as a wrong password, so that names cannot be found out.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError

from tubepost.errors import BadInput

MIN_LENGTH = 8
MAX_LENGTH = 255  # what a POP3 command line can carry (RFC 2449 section 4)

MOST_MEMORY = 256 * 1024  # KiB
MOST_ROUNDS = 16
MOST_LANES = 16


def foreign_hash(text: str) -> str:
    """A hash that was made elsewhere, as it is. BadInput where checking it is no login's work."""
    try:
        cost = extract_parameters(text)
    except InvalidHashError:
        cost = None
    if cost is None or cost.type is not Type.ID or not text.isascii():
        raise BadInput("that is no argon2id hash ($argon2id$v=19$m=...); give a password instead")
    if (
        cost.memory_cost > MOST_MEMORY
        or cost.time_cost > MOST_ROUNDS
        or cost.parallelism > MOST_LANES
    ):
        raise BadInput(
            f"that hash costs too much: m={MOST_MEMORY},t={MOST_ROUNDS},p={MOST_LANES} at most"
        )
    return text


class Passwords:
    """`threads`: hashes worked out at once; each takes some 64 MiB and a core meanwhile."""

    def __init__(self, threads: int = 2) -> None:
        self._hasher = PasswordHasher()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._nobody = self._hasher.hash("nobody has this password")

    async def make(self, password: str) -> str:
        """The hash of a new password. BadInput where POP3 could not carry it."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise BadInput(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
        if any(c < " " or c == "\x7f" for c in password):
            raise BadInput("a password has no control characters")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._hasher.hash, password)

    async def check(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one; `stored` None = there is no such account."""
        loop = asyncio.get_running_loop()
        hash_ = stored or self._nobody
        matches = await loop.run_in_executor(self._pool, self._matches, hash_, password)
        return matches and stored is not None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False
