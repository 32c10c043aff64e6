"""The Maildir adapter on real folders."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.popauth import maildrop
from services.popauth.maildrop import Committed, Maildrop, open_maildrop
from tests.popauth.authority import fill, named
from tubepost.bookings import Books, count_domain, domain_file
from tubepost.quota import ANY, Quota, Used


def drop_of(home: Path, messages: Mapping[str, bytes]) -> Maildrop:
    return open_maildrop(fill(home, messages))


def content(drop: Maildrop, index: int) -> bytes:
    with drop.open(index) as file:
        return file.read()


def tree(home: Path) -> set[str]:
    folder = home / "Maildir"
    return {str(path.relative_to(folder)) for path in folder.glob("*/*")}


def test_missing_folders_are_an_empty_maildrop(tmp_path: Path) -> None:
    assert open_maildrop(tmp_path / "Maildir").messages == []
    (tmp_path / "Maildir" / "cur").mkdir(parents=True)
    assert open_maildrop(tmp_path / "Maildir").messages == []


def test_order_is_delivery_time_then_name(tmp_path: Path) -> None:
    drop = drop_of(
        tmp_path,
        {
            "cur/99.z:2,S": b"",
            "new/100.b": b"",
            "cur/100.a:2,": b"",
            "new/1000.a": b"",
            "new/x": b"",
        },
    )
    os.utime(tmp_path / "Maildir/new/x", (500, 500))  # no time in its name: the mtime counts
    drop = open_maildrop(tmp_path / "Maildir")
    assert [message.name for message in drop.messages] == ["99.z", "100.a", "100.b", "x", "1000.a"]


def test_sizes_come_from_the_name_or_from_the_file(tmp_path: Path) -> None:
    drop = drop_of(
        tmp_path,
        {
            "new/1.a,S=4,W=4711": b"a\nb\n",  # not read
            "cur/2.b,S=4,W=6:2,S": b"a\nb\n",
            "new/3.c,S=4": b"a\nb\n",
            "new/4.d": b"a\r\nb",
            "new/5.e,W=x": b"",
        },
    )
    assert [message.size for message in drop.messages] == [4711, 6, 6, 6, 0]


def test_unique_ids_are_printable_short_and_stable(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"new/1.a": b"", "new/2." + "x" * 69: b"", "new/3.with space": b""})
    bad = os.path.join(os.fsencode(folder), b"new", b"4.\xff\xe9")
    with open(bad, "wb"):
        pass
    drop = open_maildrop(folder)
    uids = [message.uid for message in drop.messages]
    assert uids[0] == "1.a"
    assert all(len(uid) == 64 and uid.isalnum() for uid in uids[1:])
    drop.commit([])
    assert [message.uid for message in open_maildrop(folder).messages] == uids


def test_what_is_no_message_is_left_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"of somebody else")
    folder = fill(tmp_path, {"tmp/1.a": b"", "new/.hidden": b"", "new/2.b": b""})
    (folder / "new" / "3.c").symlink_to(secret)
    (folder / "cur" / "4.d").mkdir()
    assert [message.name for message in open_maildrop(folder).messages] == ["2.b"]


def test_a_link_put_in_place_of_a_message_is_not_followed(tmp_path: Path) -> None:
    drop = drop_of(tmp_path, {"new/1.a,W=0": b""})
    file = tmp_path / "Maildir/new/1.a,W=0"
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        drop.open(0)


def test_message_moved_by_somebody_else_is_found(tmp_path: Path) -> None:
    drop = drop_of(tmp_path, {"new/1.a": b"one", "new/2.b": b"two", "new/3.c": b"three"})
    folder = tmp_path / "Maildir"
    (folder / "new/1.a").rename(folder / "cur/1.a:2,S")
    (folder / "new/2.b").rename(folder / "cur/2.b:2,FS")
    assert content(drop, 0) == b"one"
    (folder / "cur/1.a:2,S").rename(folder / "cur/1.a:2,RS")
    assert drop.commit({0, 1}) == Committed(removed=2)
    assert tree(tmp_path) == {"cur/3.c:2,"}


def test_message_seen_in_both_folders_is_one_and_the_later_place_counts(tmp_path: Path) -> None:
    drop = drop_of(tmp_path, {"new/1.a": b"before the move", "cur/1.a:2,S": b"after the move"})
    assert len(drop.messages) == 1
    assert content(drop, 0) == b"after the move"


def test_message_removed_by_somebody_else(tmp_path: Path) -> None:
    drop = drop_of(tmp_path, {"new/1.a": b"one", "new/2.b": b"two"})
    (tmp_path / "Maildir/new/1.a").unlink()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            drop.open(0)
    assert content(drop, 1) == b"two"
    assert drop.commit({0}) == Committed(removed=1)
    assert tree(tmp_path) == {"cur/2.b:2,"}


def test_commit_keeps_flags_and_what_came_after_the_snapshot(tmp_path: Path) -> None:
    drop = drop_of(tmp_path, {"cur/1.a:2,F": b"", "new/2.b": b"", "new/3.c:2,S": b""})
    fill(tmp_path, {"new/4.d": b"", "tmp/5.e": b""})
    assert drop.commit([]) == Committed()
    assert tree(tmp_path) == {"cur/1.a:2,F", "cur/2.b:2,", "cur/3.c:2,S", "new/4.d", "tmp/5.e"}


def test_commit_tells_what_it_could_not_do(tmp_path: Path) -> None:
    drop = drop_of(tmp_path, {"new/1.a": b"", "new/2.b": b"", "cur/3.c:2,": b""})
    folder = tmp_path / "Maildir"
    (folder / "new/1.a").unlink()
    (folder / "new/1.a").mkdir()  # neither unlink nor rename over a folder works, for root too
    (folder / "cur/2.b:2,").mkdir()
    assert drop.commit({0}) == Committed(left=1, unmoved=1)
    assert "cur/3.c:2," in tree(tmp_path)


def test_two_sessions_delete_different_and_the_same_mail(tmp_path: Path) -> None:
    mails = {f"new/{named(n, b'x' * n)}": b"x" * n for n in range(1, 6)}
    first = drop_of(tmp_path, mails)
    second = open_maildrop(tmp_path / "Maildir")
    assert first.commit({0, 1}) == Committed(removed=2)
    assert content(second, 2) == b"xxx"  # the first session has moved it to cur/
    assert second.commit({1, 4}) == Committed(removed=2)
    left = open_maildrop(tmp_path / "Maildir")
    assert [content(left, index) for index in range(len(left.messages))] == [b"xxx", b"xxxx"]


def test_twenty_thousand_messages_open_without_being_read(tmp_path: Path) -> None:
    folder = fill(tmp_path, {})
    for number in range(20_000):
        (folder / "new" / f"{number}.M1.host,S=1,W=2").touch()
    drop = open_maildrop(folder)
    assert len(drop.messages) == 20_000
    assert {message.size for message in drop.messages} == {2}  # empty files: the name was believed
    assert drop.commit(range(10_000)) == Committed(removed=10_000)
    assert len(os.listdir(folder / "cur")) == 10_000


NOW = 1_700_000_000.0


def test_what_is_removed_is_booked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the account's file and in the domain's; not what does not count, nor what was gone."""
    monkeypatch.setattr(maildrop, "LOCKED_FOR", 2)
    drop = drop_of(
        tmp_path,
        {
            "new/1.a,S=100": b"",
            "cur/2.b:2,S": b"twenty octets of it.",
            "cur/3.c,S=7:2,ST": b"",
            "new/4.d,S=3": b"",
            "new/5.e,S=5": b"",
            "new/6.f,S=1000": b"",
        },
    )
    domain = domain_file(tmp_path, "example.net", Quota(10_000))
    books = Books(str(tmp_path / "Maildir"), ANY, domain)
    count_domain(domain, [books], NOW)
    assert books.used(NOW) == Used(1128, 5)
    (tmp_path / "Maildir/new/4.d,S=3").unlink()
    (tmp_path / "Maildir/new/5.e,S=5").rename(tmp_path / "Maildir/cur/5.e,S=5:2,S")
    assert drop.commit({0, 1, 2, 3, 4}, books) == Committed(removed=5)
    left = Used(1003, 2)  # 4.d is whose affair, who removed it
    assert books.used(NOW) == left
    assert books.used_by_domain(NOW)[0] == left
    (tmp_path / "Maildir/maildirsize").unlink()
    assert books.used(NOW) == Used(1000, 1)


def test_where_nothing_was_booked_nothing_is(tmp_path: Path) -> None:
    drop = drop_of(tmp_path, {"new/1.a,S=100": b"", "new/2.b,S=1": b""})
    assert drop.commit({0}, Books(str(tmp_path / "Maildir"), Quota(1000))) == Committed(removed=1)
    assert tree(tmp_path) == {"cur/2.b,S=1:2,"}
    assert not (tmp_path / "Maildir/maildirsize").exists()
