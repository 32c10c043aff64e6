"""`tubepost account`, `history` and `resolve` against popauth on a real bus."""

import json
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.ctl.running import Command

SECRET = "correct horse battery\n"
JOE = "joe@example.org"


@pytest.fixture
async def joe(command: Command) -> Command:
    await command.ok("account", "add", "Joe@example.org", "--password-stdin", stdin=SECRET)
    return command


async def test_accounts_come_and_go(joe: Command) -> None:
    add = ("account", "add", "joe@example.org", "--password-stdin")
    assert "joe@example.org is there already" in await joe.refused(*add, stdin=SECRET)
    assert await joe.ok("account", "list", "example.org") == ["joe@example.org"]
    assert await joe.json("account", "list") == ["joe@example.org"]
    home = (await joe.json("account", "show", "joe@example.org"))["home"]
    said = await joe("account", "remove", "joe@example.org")
    assert (said.code, said.lines) == (0, ["removed joe@example.org"])
    assert said.error == (f"tubepost: its mail stays on disk: {home}/Maildir below the mail root\n")
    assert await joe.ok("account", "list") == []
    assert "there is no account" in await joe.refused("account", "remove", "joe@example.org")


async def test_an_account_shows_what_vuserinfo_shows(joe: Command) -> None:
    new = ("--name", "Ann B.", "--quota", "10M", "--password-stdin")
    assert await joe.ok("account", "add", "ann@example.org", *new, stdin=SECRET)
    facts = [line.split("\t") for line in await joe.ok("account", "show", "ann@example.org")]
    assert [name for name, *_ in facts] == [
        "address", "name", "folder", "flags", "quota", "used", "forward",
    ]  # fmt: skip
    shown = {name: value for name, value, *_ in facts}
    assert (shown["name"], shown["flags"], shown["quota"]) == ("Ann B.", "-", "10485760S")
    text = json.dumps(await joe.json("account", "show", "ann@example.org"))
    assert "argon2" not in text
    assert "horse" not in text


async def test_passwords(joe: Command) -> None:
    passwd = ("account", "passwd", "joe@example.org", "--password-stdin")
    said = await joe.ok(*passwd, "--reversible", stdin="another one\n")
    assert said == ["changed the password of joe@example.org"]
    assert "8 to 255" in await joe.refused(*passwd, stdin="short\n")


async def test_rights_by_our_words_and_by_vmoduser_s(joe: Command) -> None:
    """-x comes before what is given with it."""
    for options, flags in (
        (["--no-smtp"], "no_smtp"),
        (["-s", "-r", "-p"], "no_pop no_relay no_smtp"),
        (["--smtp", "-b"], "locked no_pop no_relay"),
        (["--clear", "--no-pop"], "no_pop"),
        (["--must-change"], "must_change no_pop"),
        (["-x"], "may do everything"),
    ):
        said = await joe.ok("account", "set", "joe@example.org", *options)
        assert said == [f"joe@example.org: {flags}"]


async def test_a_forward(joe: Command) -> None:
    forward = ("account", "forward", "joe@example.org")
    assert await joe.ok(*forward) == ["forward\t-"]
    to = ("ann@far.example", "bob@far.example")
    assert await joe.ok(*forward, *to) == ["forward\tann@far.example bob@far.example"]
    resolved = await joe.ok("resolve", "joe@example.org")
    assert resolved[0].startswith("joe@example.org\t")
    assert resolved[1].startswith("maildir ")
    assert resolved[1].endswith("/joe/Maildir/")
    assert resolved[2] == "forward ann@far.example bob@far.example"
    shown = "forward\tann@far.example bob@far.example\tno copy stays here"
    assert await joe.ok(*forward, "--no-keep") == [shown]
    assert len(await joe.ok("resolve", "joe@example.org")) == 2
    assert await joe.json(*forward, "--off") == {"forward": [], "keep": True}


async def test_a_mailbox_on_hold(joe: Command) -> None:
    await joe.ok("account", "hold", "joe@example.org")
    assert (await joe.json("account", "show", "joe@example.org"))["flags"] == ["hold"]
    assert (await joe.ok("resolve", "joe@example.org"))[1].startswith("wait ")
    await joe.ok("domain", "alias", "example.net", "example.org")
    said = await joe("account", "release", "joe@example.org")
    assert "tubepost queue flush --recipient joe@example.org" in said.error, "no scheduler here"
    assert "tubepost queue flush --recipient joe@example.net" in said.error
    assert (await joe.json("account", "show", "joe@example.org"))["flags"] == []


async def test_a_domain_that_is_not_there_is_not_an_empty_one(joe: Command) -> None:
    said = await joe.refused("account", "list", "nowhere.example")
    assert said.startswith("there is no domain nowhere.example")


async def test_resolve_of_nobody_is_exit_1(joe: Command) -> None:
    said = await joe("resolve", "nobody@example.org")
    assert said.code == 1
    assert said.lines == [
        "nobody@example.org\tnobody",
        "refuse Sorry, no mailbox here by that name. (#5.1.1)",
    ]
    assert "has no @" in await joe.refused("resolve", "nobody")


async def test_history_says_who_changed_what(joe: Command) -> None:
    await joe.ok("account", "set", "joe@example.org", "--no-smtp", "--actor", "ann")
    newest, added = await joe.json("history", "joe@example.org")
    assert (newest["actor"], added["actor"]) == ("ann", "kim")
    assert newest["what"] == added["what"] == "joe@example.org"
    assert "no_smtp" in newest["diff"]
    line = (await joe.ok("history", "example.org", "--since", "1h"))[0]
    assert line.split("\t")[1:4] == ["ann", newest["action"], "joe@example.org"]
    assert len(await joe.ok("history")) == 3
    assert await joe.ok("history", "--since", "0s") == []


async def test_an_import_can_be_run_again(joe: Command, tmp_path: Path) -> None:
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("a good password")
    lines = [
        "address,password,quota",
        "joe@example.org,stays as it is",
        *(f"u{n}@example.org,{hashed}" for n in range(600)),
        "ann@example.org,correct horse,10M",
        "Ann@example.org,correct horse",
        "bob@example.org,short",
        "kim@nowhere.example,correct horse",
        "correct horse,eve@example.org",
    ]
    file = tmp_path / "accounts.csv"
    file.write_text("\n".join(lines) + "\n")
    assert await joe("account", "import", str(file), "--check") == (
        1,
        ["read 607 lines, 1 are wrong", "  line 607: the first column is not an address"],
        "",
    )
    said = await joe("account", "import", str(file))
    assert (said.code, said.lines[0]) == (1, "added 601, there already 2, refused 3")
    assert said.lines[1:3] == [
        "  there already: joe@example.org",
        "  there already: Ann@example.org",
    ]
    assert [line.split(": ")[0] for line in said.lines[3:]] == [
        "  line 607", "  line 605", "  line 606",
    ]  # fmt: skip
    assert "horse" not in "".join(said.lines)
    assert await joe.ok("account", "quota", "ann@example.org") == ["10485760S"]
    assert await joe.ok("account", "quota", "joe@example.org") == ["NOQUOTA"]
    assert len(await joe.ok("account", "list", "example.org")) == 602

    again = await joe("account", "import", "-", "--json", stdin="\n".join(lines[:-3]))
    found = json.loads("\n".join(again.lines))
    assert (again.code, found["added"], len(found["existing"])) == (0, 0, 603)


async def test_an_import_that_stops_says_how_far_it_came(joe: Command, tmp_path: Path) -> None:
    file = tmp_path / "latin1.csv"
    lines = b"".join(b"u%d@example.org,correct horse\n" % n for n in range(3))
    file.write_bytes(lines + b"# a comment is no CSV, but this is long\n" * 20_000 + b"\xff\n")
    said = await joe.refused("account", "import", str(file), code=2)
    assert "latin1.csv is not UTF-8 after line " in said
    assert "(added 3, there already 0, refused " in said


async def test_an_import_without_a_platform_says_so(unheard: Command, tmp_path: Path) -> None:
    file = tmp_path / "accounts.csv"
    file.write_text("joe@example.org,correct horse\n")
    said = await unheard.refused("account", "import", str(file))
    assert said.startswith("stopped after line 0 (added 0, there already 0, refused 0): ")
    assert said.endswith("run it again to go on, what is there stays as it is")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("account", "passwd", JOE), "standard input is not a terminal: use --password-stdin"),
        (("account", "set", JOE), "say what to set: --smtp or --no-smtp"),
        (("account", "quota", JOE, "many"), "'many' is not a quota: give 10M"),
        (("account", "forward", JOE, "--off", "--keep"), "--off stands alone"),
        (("account", "import", "nowhere/at/all"), "cannot read nowhere/at/all: No such file"),
        (("history", "--since", "yesterday"), "'yesterday' is no time: write 90s, 15m, 2h or 7d"),
    ],
)
async def test_wrong_use_is_one_line(unheard: Command, args: tuple[str, ...], why: str) -> None:
    assert (await unheard.refused(*args, code=2)).startswith(why)
