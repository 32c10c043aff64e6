"""What is booked against what lies there: other programs' counts, crashes, and many at once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tubepost.bookings import LONG, Booked, Books, NoRoom, Uncounted, count_domain, domain_file
from tubepost.mailbox_count import count, mark
from tubepost.maildirsize import FULL, SizeFile, total
from tubepost.quota import ANY, NOTHING, Quota, Used

NOW = 1_700_000_000.0
OLD = NOW + 901
MUCH = Quota(1_000_000, 10_000)


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    return made(tmp_path / "Maildir")


def made(maildir: Path) -> Path:
    for folder in ("tmp", "new", "cur"):
        (maildir / folder).mkdir(parents=True)
    return maildir


def books(maildir: Path, quota: Quota = MUCH, domain: SizeFile | None = None) -> Books:
    return Books(str(maildir), quota, domain)


def deliver(found: Books, name: str, octets: int = 100, now: float = NOW) -> bool:
    name = f"{name},S={octets}"
    booked = found.reserve(name, octets, now)
    if not isinstance(booked, Booked):
        return False
    Path(found.maildir, "new", name).touch()
    found.settle(name, octets, booked, written=True)
    return True


def size_file(maildir: Path) -> str:
    return (maildir / "maildirsize").read_text()


@pytest.mark.parametrize(
    ("content", "quota", "used"),
    [
        (b"1000S\n0 0\n", Quota(1000), NOTHING),
        (b"1000S,10C\n500 5\n-100 -1\n+20 +1\n", Quota(1000, 10), Used(420, 5)),
        (b"10C\n 500 5\n", Quota(0, 10), Used(500, 5)),
        (b"0S\n7 1\n", ANY, Used(7, 1)),
        (b"", Quota(1000), None),
        (b"1000S\n", Quota(1000), None),
        (b"1000S\n500 5", Quota(1000), None),  # half a line
        (b"1001S\n500 5\n", Quota(1000), None),  # of another quota
        (b"1000S\n500\n", Quota(1000), None),
        (b"1000S\nx y\n", Quota(1000), None),
        (b"1000S\n100 1\n-200 -1\n", Quota(1000), None),
        (b"1000S\n100 1\n-1 -2\n", Quota(1000), None),
        (b"1000S\n" + b"\0" * 8, Quota(1000), None),
        (b"1000S\n" + b"1 1\n" * FULL, Quota(1000), None),
    ],
)
def test_what_a_file_says(content: bytes, quota: Quota, used: Used | None) -> None:
    assert total(content, quota) == used


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(content: bytes) -> None:
    total(b"1000S\n" + content, Quota(1000))


def test_names_files_and_folders_are_counted(maildir: Path) -> None:
    def put(folder: str, name: str, octets: int = 0) -> None:
        (maildir / folder).mkdir(parents=True, exist_ok=True)
        (maildir / folder / name).write_bytes(b"x" * octets)

    put("new", "1.a,S=100,W=103")
    put("cur", "2.b,S=20:2,S")
    put("cur", "3.c:2,", octets=3)
    put("cur", "4.d,S=5000:2,ST")  # marked as trash
    put(".Sent/cur", "5.e,S=1000:2,S")
    put(".Trash/cur", "6.f,S=10000:2,S")
    put("tmp", "7.g,S=100000")
    assert count(str(maildir), NOW) == Used(1123, 4)
    assert books(maildir).used(NOW) == Used(1123, 4)
    assert size_file(maildir) == "1000000S,10000C\n1123 4\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.write_text("5S\n100 1\n"),
        lambda file: file.write_text("garbage"),
        lambda file: file.write_text("1000000S,10000C\n" + "1 1\n" * FULL),
        lambda file: file.write_text(""),
    ],
    ids=["missing", "other quota", "broken", "long", "empty"],
)
def test_it_is_counted_again(maildir: Path, spoil: Callable[[Path], object]) -> None:
    found = books(maildir)
    assert deliver(found, "1.a")
    spoil(maildir / "maildirsize")
    assert deliver(found, "2.b", 50)
    assert size_file(maildir) == "1000000S,10000C\n100 1\n50 1\n"


def test_a_day_later_it_is_counted_again(maildir: Path) -> None:
    """There may have been no quota for a while, and nothing was booked."""
    found = books(maildir)
    assert deliver(found, "1.a")
    (maildir / "new" / "2.b,S=7").touch()
    assert found.used(NOW + 86_000) == Used(100, 1)
    assert found.used(NOW + 87_000) == Used(107, 2)


def test_what_another_program_appends_counts(maildir: Path) -> None:
    found = books(maildir)
    assert deliver(found, "1.a")
    with (maildir / "maildirsize").open("a") as file:
        file.write("-100 -1\n")
    assert found.used(NOW) == NOTHING


def test_a_count_of_another_program_is_made_again(maildir: Path) -> None:
    """It has missed the mail that is on its way."""
    found = books(maildir, Quota(200))
    booked = found.reserve("1.a,S=100", 100, NOW)
    other = maildir / "their.tmp"
    other.write_text("200S\n0 0\n")
    other.rename(maildir / "maildirsize")
    assert deliver(found, "2.b", 100)
    assert not deliver(found, "3.c", 1)
    assert isinstance(booked, Booked)
    (maildir / "new" / "1.a,S=100").touch()
    found.settle("1.a,S=100", 100, booked, written=True)
    assert found.used(NOW) == count(str(maildir), NOW) == Used(200, 2)


def test_a_count_of_another_program_is_noticed_at_the_end_too(maildir: Path) -> None:
    found = books(maildir)
    booked = found.reserve("1.a,S=100", 100, NOW)
    assert isinstance(booked, Booked)
    (maildir / "their.tmp").write_text("1000000S,10000C\n0 0\n")
    (maildir / "their.tmp").rename(maildir / "maildirsize")
    (maildir / "new" / "1.a,S=100").touch()
    found.settle("1.a,S=100", 100, booked, written=True)
    assert found.used(NOW) == Used(100, 1)


def test_after_a_crash_the_same_mail_is_booked_once(maildir: Path) -> None:
    found = books(maildir, Quota(200))
    assert isinstance(found.reserve("1.a,S=100", 100, NOW), Booked)  # and it was killed
    (maildir / "maildirsize").unlink()
    assert deliver(found, "1.a")
    assert deliver(found, "2.b")
    assert not deliver(found, "3.c", 1)
    assert found.used(NOW) == Used(200, 2)


def test_what_nobody_came_for_is_forgotten(maildir: Path) -> None:
    found = books(maildir)
    assert isinstance(found.reserve("1.a,S=100", 100, NOW), Booked)
    assert count(str(maildir), NOW) == Used(100, 1)
    long_ago = NOW - 37 * 3600
    os.utime(mark(str(maildir), "1.a,S=100"), (long_ago, long_ago))
    assert count(str(maildir), NOW) == NOTHING
    assert os.listdir(maildir / "tmp") == []


def test_of_two_tries_at_once_one_fails(maildir: Path) -> None:
    found, name = books(maildir), "1.a,S=100"
    first, second = (found.reserve(name, 100, NOW) for _ in range(2))
    assert isinstance(first, Booked)
    assert isinstance(second, Booked)
    found.settle(name, 100, first, written=False)
    (maildir / "new" / name).touch()
    found.settle(name, 100, second, written=True)
    assert found.used(NOW) == Used(100, 1)


def test_a_mail_whose_sync_failed_is_there_and_stays_booked(maildir: Path) -> None:
    found, name = books(maildir), "1.a,S=100"
    booked = found.reserve(name, 100, NOW)
    assert isinstance(booked, Booked)
    (maildir / "new" / name).touch()
    found.settle(name, 100, booked, written=False)
    assert found.used(NOW) == Used(100, 1)


class TestDomain:
    """A file for all accounts of a domain."""

    @pytest.fixture
    def domain(self, tmp_path: Path) -> SizeFile:
        return domain_file(tmp_path, "example.net", Quota(1000))

    @pytest.fixture
    def two(self, tmp_path: Path, domain: SizeFile) -> list[Books]:
        return [books(made(tmp_path / name), ANY, domain) for name in ("ann", "bob")]

    def test_it_wants_to_be_counted_first(self, domain: SizeFile, two: list[Books]) -> None:
        assert isinstance(two[0].reserve("1.a,S=1", 1, NOW), Uncounted)
        Path(two[1].maildir, "new", "1.a,S=900").touch()
        count_domain(domain, two, NOW)
        assert deliver(two[0], "2.b", 100)
        assert two[0].reserve("3.c,S=1", 1, NOW) == NoRoom("domain")
        assert isinstance(two[0].reserve("3.c,S=1", 1, OLD), Uncounted)

    def test_its_file_is_made_short_without_a_count(
        self, domain: SizeFile, two: list[Books]
    ) -> None:
        count_domain(domain, two, NOW)
        Path(two[1].maildir, "new", "1.a,S=900").touch()  # only a count would see it
        for number in range(300):
            assert deliver(two[0], f"{number}.a", 1)
        assert Path(domain.path).stat().st_size < LONG + 20
        assert two[0].used_by_domain(NOW) == (Used(300, 300), True)

    def test_what_is_removed_is_booked_there_too(self, domain: SizeFile, two: list[Books]) -> None:
        count_domain(domain, two, NOW)
        assert deliver(two[0], "1.a", 1000)
        with two[0].removing() as freed:
            os.unlink(Path(two[0].maildir, "new", "1.a,S=1000"))
            freed.append(1000)
        assert two[0].used_by_domain(NOW) == (NOTHING, True)
        assert two[0].used(NOW) == NOTHING

    def test_of_two_that_count_the_second_finds_it_done(
        self, domain: SizeFile, two: list[Books]
    ) -> None:
        count_domain(domain, two, NOW)
        assert deliver(two[0], "1.a", 5)
        inode = domain.inode()
        count_domain(domain, two, NOW)
        assert domain.inode() == inode


def test_where_nothing_is_booked_removing_makes_no_file(maildir: Path) -> None:
    with books(maildir).removing() as freed:
        freed.append(5)
    assert sorted(os.listdir(maildir)) == ["cur", "new", "tmp"]


WRITER = """
import sys
from pathlib import Path
from tubepost.bookings import LONG, Booked, Books, domain_file
from tubepost.quota import Quota
root, me = Path(sys.argv[1]), sys.argv[2]
books = Books(f"{root}/Maildir", Quota(0, 100), domain_file(root, "example.net", Quota(50_000)))
sys.stdin.read()
for number in range(40):
    name = f"{number}.{me},S=100"
    booked = books.reserve(name, 100, 1_700_000_000.0)
    if isinstance(booked, Booked):
        written = number % 5 != 4
        if written:
            Path(books.maildir, "new", name).touch()
        books.settle(name, 100, booked, written=written)
    if number == 20:
        Path(books.file.path).unlink(missing_ok=True)
"""


def test_of_eight_processes_exactly_as_many_mails_fit_as_may(tmp_path: Path) -> None:
    """256 mails want in, 64 more fail to be written, and all of them spoil the file once."""
    maildir = made(tmp_path / "Maildir")
    domain = domain_file(tmp_path, "example.net", Quota(50_000))
    count_domain(domain, [books(maildir, Quota(0, 100), domain)], NOW)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), f"p{n}"], stdin=subprocess.PIPE
        )
        for n in range(8)
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.close()
    assert [writer.wait(50) for writer in writers] == [0] * 8
    assert len(os.listdir(maildir / "new")) == 100
    assert os.listdir(maildir / "tmp") == []
    found = books(maildir, Quota(0, 100), domain)
    assert found.used(NOW) == Used(10_000, 100)
    assert found.used_by_domain(NOW)[0] == Used(10_000, 100)


NUMBERS = st.integers(0, 3)


class Mailbox(RuleBasedStateMachine):
    """Four writers, a POP3 reader and one like Dovecot on one mailbox, in any order of steps."""

    QUOTA = Quota(2000, 12)

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.maildir = made(Path(self.folder.name) / "Maildir")
        self.books = books(self.maildir, self.QUOTA)
        self.now, self.number = NOW, 0
        self.working: dict[int, tuple[str, int, Booked]] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    def there(self) -> list[Path]:
        return sorted([*self.maildir.glob("new/*"), *self.maildir.glob("cur/*")])

    @rule(writer=NUMBERS, octets=st.integers(1, 700))
    def reserve(self, writer: int, octets: int) -> None:
        if writer in self.working:
            return
        self.number += 1
        name = f"{self.number}.w{writer},S={octets}"
        held = count(str(self.maildir), self.now)
        fits = self.QUOTA.has_room(held, Used(octets, 1))
        booked = self.books.reserve(name, octets, self.now)
        assert isinstance(booked, Booked) == fits, (held, booked)
        if isinstance(booked, Booked):
            self.working[writer] = name, octets, booked

    @rule(writer=NUMBERS, written=st.booleans())
    def settle(self, writer: int, written: bool) -> None:
        if writer in self.working:
            name, octets, booked = self.working.pop(writer)
            if written:
                (self.maildir / "new" / name).touch()
            self.books.settle(name, octets, booked, written=written)

    @rule(writer=NUMBERS)
    def die_and_try_again(self, writer: int) -> None:
        if writer in self.working:
            name, octets, _ = self.working[writer]
            booked = self.books.reserve(name, octets, self.now)
            assert isinstance(booked, Booked)
            self.working[writer] = name, octets, booked

    @precondition(lambda self: self.there())
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.there()))
        with self.books.removing() as freed:
            freed.append(int(path.name.partition("S=")[2].partition(":")[0]))
            path.unlink()

    @precondition(lambda self: self.there())
    @rule(data=st.data())
    def another_program_removes(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.there()))
        size = path.name.partition("S=")[2].partition(":")[0]
        path.unlink()
        if (self.maildir / "maildirsize").exists():
            with (self.maildir / "maildirsize").open("a") as file:
                file.write(f"-{size} -1\n")

    @rule()
    def another_program_sees(self) -> None:
        for path in self.maildir.glob("new/*"):
            path.rename(self.maildir / "cur" / f"{path.name}:2,S")

    @rule()
    def another_program_counts(self) -> None:
        sizes = [int(p.name.partition("S=")[2].partition(":")[0]) for p in self.there()]
        new = self.maildir / "maildirsize.theirs"
        new.write_text(f"{self.QUOTA}\n{sum(sizes)} {len(sizes)}\n")
        new.rename(self.maildir / "maildirsize")

    @rule()
    def lose_the_file(self) -> None:
        (self.maildir / "maildirsize").unlink(missing_ok=True)

    @rule(seconds=st.sampled_from([60, 901, 90_000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def what_is_booked_is_what_lies_there(self) -> None:
        """With what is on its way."""
        on_way = [octets for _, octets, _ in self.working.values()]
        sizes = [int(p.name.partition("S=")[2].partition(":")[0]) for p in self.there()]
        expected = Used(sum(sizes) + sum(on_way), len(sizes) + len(on_way))
        assert self.books.used(self.now) == expected


TestMailbox = Mailbox.TestCase
TestMailbox.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
