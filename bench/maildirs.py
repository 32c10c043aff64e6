"""Tubepost and Postfix with mails in their queues and Maildirs to put them into.

Must not measure anything. The Maildirs are made before, the same ones for both.
"""

import pwd
import shutil
import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import fill, records
from bench.load import Load, Source
from bench.peers import DOMAIN, BenchError, Peer, run
from bench.platform import Platform
from bench.postfix import OWNER, SBIN, PostfixPeer
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory_values import Account, account_key, entry_value
from tubepost.keyed import encoded
from tubepost.mailstore import new_mail_id
from tubepost.record import Recipient, Record, State
from tubepost.subjects import LOCAL, Key, shard_of

MAIL_BYTES = 4096
ACCEPT_WITHIN = 300.0


@dataclass(frozen=True, slots=True)
class Boxes:
    """10 ** `digits` mailboxes. Mail n goes to the one named after the last digits of n."""

    letter: str
    digits: int

    @property
    def count(self) -> int:
        return int(10**self.digits)

    def box(self, number: int) -> str:
        """Its local part, and its folder."""
        last = str(number % self.count).zfill(self.digits) if self.digits else ""
        return f"{self.letter}{last}"

    def all(self) -> Iterator[str]:
        return map(self.box, range(self.count))


class Deliverer(Peer):
    """A mail system that holds queued mail back until it is told."""

    mail: Path
    """Below it is a folder for each mailbox, named as it."""

    @abstractmethod
    def queue(self, boxes: Boxes, mails: int) -> None:
        """Puts mails into the queue; none goes out."""

    @abstractmethod
    def release(self) -> None:
        """All of them may be delivered from now on."""

    def new(self, box: str) -> Path:
        return self.mail / box / "Maildir" / "new"


def _make_maildirs(mail: Path, boxes: Boxes, owner: tuple[int, int]) -> None:
    for box in boxes.all():
        maildir = mail / box / "Maildir"
        for folder in (maildir.parent, maildir, *(maildir / sub for sub in ("cur", "new", "tmp"))):
            folder.mkdir(mode=0o700, parents=True)
            shutil.chown(folder, *owner)


class LocalTubepost(Platform, Deliverer):
    """Accounts and mails are written into the streams of the stopped platform."""

    def __init__(self, folder: Path, sizes: list[Boxes], command: str, shards: int) -> None:
        super().__init__(folder / "tubepost", [], command)
        self._sizes, self.shards = sizes, shards
        self.mail = self.data / "mail" / DOMAIN

    def start(self) -> None:
        """With its domain and accounts, and local paused."""
        self.launch()
        self.tubepost("domain", "add", DOMAIN)
        self.stop()
        for boxes in self._sizes:
            _make_maildirs(self.mail, boxes, (0, 0))
            fill.write(self, _accounts(boxes))
        self.launch()

    def queue(self, boxes: Boxes, mails: int) -> None:
        """See Deliverer."""
        self.tubepost("queue", "pause", "local")
        self.stop()
        made = _mails(boxes, mails, self.shards)
        fill.write(self, fill.queued(made, records.body(MAIL_BYTES)))
        self.launch()
        if self.queued() != mails:
            raise BenchError(f"{self.queued()} mails in the queue instead of {mails}")

    def release(self) -> None:
        """By the API: the command takes half a second to start."""
        with self.client() as client:
            answer = client.delete("/v1/pauses/local")
        if answer.is_error:
            raise BenchError(f"DELETE /v1/pauses/local: {answer.status_code} {answer.text}")


def _accounts(boxes: Boxes) -> Iterator[fill.Message]:
    for box in boxes.all():
        address = f"{box}@{DOMAIN}"
        account = Account(address, f"{DOMAIN}/{box}", "no password opens it")
        key = account_key(parse_address(address))
        value = encoded(entry_value(account))
        yield subjects.bucket_key(subjects.DIRECTORY, key), value, {}


def _mails(boxes: Boxes, mails: int, shards: int) -> Iterator[tuple[Key, Record]]:
    now = time.time()
    for number in range(mails):
        record = Record(
            state=State.PENDING,
            channel=LOCAL,
            destination=DOMAIN,
            sender="source@client.example",
            recipients=(Recipient(f"{boxes.box(number)}@{DOMAIN}"),),
            size=MAIL_BYTES,
            created=now,
            next_attempt=now,
        )
        mail_id = new_mail_id(now)
        yield Key(shard_of(LOCAL, DOMAIN, mail_id, shards), mail_id, "0"), record


class LocalPostfix(PostfixPeer, Deliverer):
    """smtp-source fills the hold queue, as bench.relay does; virtual(8) delivers."""

    def __init__(self, folder: Path, sizes: list[Boxes], mails: int) -> None:
        settings = [
            f"virtual_mailbox_maps = hash:{folder}/boxes",
            "smtpd_recipient_restrictions = check_recipient_access static:HOLD",
        ]
        super().__init__(folder, [], settings)
        self._sizes, self._mails = sizes, mails
        self.mail = folder / "mail"

    def _write_configuration(self) -> None:
        """virtual(8) takes no patterns: each of smtp-source's recipients stands in the table."""
        super()._write_configuration()
        table = self.folder / "boxes"
        with table.open("w") as lines:
            for boxes in self._sizes:
                for number in range(self._mails + 1):
                    recipient = f"{number}{boxes.letter}@{DOMAIN}"
                    lines.write(f"{recipient} {boxes.box(number)}/Maildir/\n")
        run([f"{SBIN}/postmap", "-c", self.folder / "etc", f"hash:{table}"])

    def start(self) -> None:
        """The Maildirs belong to the user virtual(8) writes as."""
        super().start()
        owner = pwd.getpwnam(OWNER)
        for boxes in self._sizes:
            _make_maildirs(self.mail, boxes, (owner.pw_uid, owner.pw_gid))

    def queue(self, boxes: Boxes, mails: int) -> None:
        """Then moves the files from `hold` to `deferred`, which nobody watches."""
        load = Load("queue", boxes.letter, ("-d", "-N"))
        source = Source(self, load, mails, self.folder / "smtp-source.log")
        try:
            source.finish(ACCEPT_WITHIN)
        finally:
            source.kill()
        run([f"{SBIN}/postsuper", "-c", self.folder / "etc", "-H", "ALL"])

    def release(self) -> None:
        """The queue manager reads `deferred`."""
        run([f"{SBIN}/postqueue", "-c", self.folder / "etc", "-f"])
