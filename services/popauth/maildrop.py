"""A Maildir folder as a POP3 maildrop: what is in it at login, each message, what QUIT leaves.

Every function here blocks: call it off the event loop. It must not touch tmp/, take a lock (but
that of the books, where there is a quota), or remove anything but what `commit` is told to. Two
sessions may have the same folder open, and another program may move mail from new/ to cur/ at any
time; a message is found again by name.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tubepost import mailbox_count
from tubepost.bookings import Books

BLOCK = 65_536
"""Bytes read from a message file at a time."""

LOCKED_FOR = 100
"""Messages removed while deliveries into the mailbox wait."""

_TIME = re.compile(r"(\d{1,12})\.")
_WIRE_SIZE = re.compile(r",W=(\d{1,18})(?=[,:]|\Z)")
_UNIQUE_ID = re.compile(r"[!-~]{1,70}")  # RFC 1939 section 7, UIDL


class Message(NamedTuple):
    """`name`: the file's name up to `:`. `size`: octets with CRLF line ends. `uid`: for UIDL."""

    name: str
    size: int
    uid: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What QUIT did, in messages. `left` were to be removed, `unmoved` stay in new/."""

    removed: int = 0
    left: int = 0
    unmoved: int = 0


class Maildrop:
    """The snapshot of one session. Indexes count from 0 in order of delivery time, then name."""

    def __init__(self, folder: Path, messages: list[Message], places: list[str]) -> None:
        self.messages = messages
        self._folder = os.fspath(folder)
        self._places = places  # for each message: new/FILE, cur/FILE, or "" when it is gone

    def open(self, index: int) -> BinaryIO:
        """The message's file. FileNotFoundError if somebody removed it, another OSError as is."""
        try:
            return _open(self._folder, self._places[index])
        except FileNotFoundError:
            self._find_again()
            return _open(self._folder, self._places[index])

    def commit(self, deleted: Collection[int], books: Books | None = None) -> Committed:
        """Removes the messages in `deleted`; of the others, moves those in new/ to cur/.

        `books`: where the mailbox has a quota, what is removed is booked (VDM-7).
        """
        removed = sum([self._remove_booked(some, books) for some in _in_parts(list(deleted))])
        kept = (i for i in range(len(self.messages)) if i not in deleted)
        fresh = [index for index in kept if self._places[index].startswith("new/")]
        moved = sum([self._age(index) for index in fresh])
        return Committed(removed, len(deleted) - removed, len(fresh) - moved)

    def _remove_booked(self, indexes: Sequence[int], books: Books | None) -> int:
        with books.removing() if books else contextlib.nullcontext() as freed:
            return sum([self._remove(index, freed) for index in indexes])

    def _remove(self, index: int, freed: list[int] | None) -> bool:
        """True when the message is gone, whoever removed it. `freed` gets what we removed."""
        for _ in range(2):
            place = self._places[index]
            if not place:
                return True
            path = os.path.join(self._folder, place)
            try:
                size = mailbox_count.size_of(path) if freed is not None else 0
                os.unlink(path)
            except FileNotFoundError:
                self._find_again()
            except OSError:
                return False
            else:
                if freed is not None and mailbox_count.counts(place):
                    freed.append(size)
                return True
        return False

    def _age(self, index: int) -> bool:
        """new/NAME to cur/NAME:2, which tells other programs that a client has seen it."""
        place = self._places[index]
        file = place.removeprefix("new/")
        aged = "cur/" + (file if ":" in file else file + ":2,")
        try:
            os.rename(os.path.join(self._folder, place), os.path.join(self._folder, aged))
        except FileNotFoundError:
            return True  # moved or removed by somebody else: it is not in new/
        except OSError:
            return False
        return True

    def _find_again(self) -> None:
        """One look at the whole folder brings every place up to date."""
        found = _files(self._folder)
        self._places = [found.get(message.name, "") for message in self.messages]


def open_maildrop(folder: Path) -> Maildrop:
    """The snapshot of a Maildir folder. One that does not exist is empty; OSError otherwise.

    Files are read only where the name does not give the size on the wire (`,W=`).
    """
    messages, places = [], []
    for _time, name, place in _by_time(os.fspath(folder)):
        try:
            size = _wire_size(os.fspath(folder), name, place)
        except FileNotFoundError:
            continue  # removed since it was listed
        messages.append(Message(name, size, _uid(name)))
        places.append(place)
    return Maildrop(folder, messages, places)


def _in_parts(indexes: list[int]) -> Iterator[list[int]]:
    """So many are removed under one lock that a delivery does not wait long for it."""
    for first in range(0, len(indexes), LOCKED_FOR):
        yield indexes[first : first + LOCKED_FOR]


def wire_size(file: BinaryIO) -> int:
    """Octets of a message with CRLF line ends, as RFC 1939 section 11 counts: dots not stuffed."""
    octets, last = 0, b""
    while block := file.read(BLOCK):
        bare = block.count(b"\n") - block.count(b"\r\n")
        bare -= last == b"\r" and block.startswith(b"\n")
        octets += len(block) + bare
        last = block[-1:]
    return octets + (2 if last not in (b"", b"\n") else 0)


def _by_time(folder: str) -> list[tuple[int, str, str]]:
    """(delivery time, name, place) of each message, sorted."""
    listed = []
    for name, place in _files(folder).items():
        try:
            listed.append((_delivery_time(folder, name, place), name, place))
        except FileNotFoundError:
            continue  # removed since it was listed
    return sorted(listed)


def _files(folder: str) -> dict[str, str]:
    """name -> place. new/ is read first: a message moved meanwhile is met again in cur/."""
    found = {}
    for part in ("new", "cur"):
        for file in _regular_files(os.path.join(folder, part)):
            found[file.partition(":")[0]] = f"{part}/{file}"
    return found


def _regular_files(folder: str) -> Iterator[str]:
    """Symbolic links are not followed: they could lead out of the mailbox."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                yield entry.name


def _delivery_time(folder: str, name: str, place: str) -> int:
    """Seconds since 1970: what the name begins with, else the file's mtime."""
    stamp = _TIME.match(name)
    return int(stamp[1]) if stamp else int(os.stat(os.path.join(folder, place)).st_mtime)


def _wire_size(folder: str, name: str, place: str) -> int:
    told = _WIRE_SIZE.search(name)
    if told:
        return int(told[1])
    with _open(folder, place) as file:
        return wire_size(file)


def _uid(name: str) -> str:
    """The name itself, or a digest of one that is no unique-id, the same in every session."""
    if _UNIQUE_ID.fullmatch(name):
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()


def _open(folder: str, place: str) -> BinaryIO:
    if not place:
        raise FileNotFoundError("the message is no longer in the maildrop")
    return open(os.path.join(folder, place), "rb", opener=_no_link)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
