"""The lines of a file of accounts, right and wrong."""

import pytest

from ctl.account_rows import Row, rows

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA"


def one(*lines: str) -> Row:
    [row] = rows(lines)
    return row


@pytest.mark.parametrize(
    ("line", "account"),
    [
        ("joe@example.org,correct horse", {"password": "correct horse"}),
        ("joe@example.org, horse ", {"password": " horse "}),
        (' joe@example.org ,"a, ""b""",10M', {"password": 'a, "b"', "quota": "10485760S"}),
        ("joe@example.org,horse 12,,Joe", {"password": "horse 12", "name": "Joe"}),
        (f'joe@example.org,"{HASH}"', {"hash": HASH}),
        (f'joe@example.org,"{{ARGON2}}{HASH}",NOQUOTA', {"hash": HASH, "quota": "NOQUOTA"}),
        (f"joe@example.org,{HASH}", {"hash": HASH}),
        (f"joe@example.org,{{ARGON2}}{HASH},10M", {"hash": HASH, "quota": "10485760S"}),
        (f'joe@example.org,"{{argon2id}}{HASH}"', {"hash": HASH}),
    ],
)
def test_a_right_line(line: str, account: dict[str, str]) -> None:
    assert one(line) == Row(1, {"address": "joe@example.org", **account})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hunter2,joe@example.org", "the first column is not an address"),
        ("joe@example.org", "write address,password,quota; columns here: 1"),
        ("a,b,c,d,hunter2", "write address,password,quota; columns here: 5"),
        ("joe@example.org,,10M", "there is no password"),
        ("joe@example.org,10M,hunter2", "the third column is not a quota; write 10M, 1000C or"),
        ("joe@example.org,{SHA}hunter2", "of hashes only argon2id is taken"),
        ("joe@example.org,$1$salt$hunter2", "of hashes only argon2id is taken"),
        ('joe@example.org,"hunter2', "this is no CSV, and nothing below it was read"),
    ],
)
def test_a_wrong_line_is_told_without_what_may_be_a_password(line: str, why: str) -> None:
    row = one(line)
    assert row.why.startswith(why)
    assert row.account == {}
    assert "hunter2" not in repr(row)


def test_lines_are_counted_as_an_editor_does() -> None:
    found = rows(["address,password,quota\n", "\n", "joe@example.org,horse\n", "x,y\n"])
    assert [(row.line, bool(row.why)) for row in found] == [(3, False), (4, True)]


def test_only_the_first_line_may_be_a_heading() -> None:
    assert [row.line for row in rows(["joe@example.org,horse\n", "address,password\n"])] == [1, 2]


def test_what_makes_the_platform_work_is_known() -> None:
    assert one("joe@example.org,horse").costs
    assert not one(f"joe@example.org,{HASH}").costs
    assert not one("x,horse").costs
