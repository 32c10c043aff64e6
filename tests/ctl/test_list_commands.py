"""`tubepost alias` and `tubepost list` against popauth on a real bus."""

from pathlib import Path

import pytest

from tests.ctl.running import Command

NEWS = ("news@example.org", "--owner", "kim@example.org")


async def test_an_alias_comes_changes_and_goes(command: Command) -> None:
    us = "us@example.org"
    assert await command.ok("alias", "add", us, "a@x.example", "b@x.example") == [f"added {us}"]
    assert await command.ok("alias", "show", us) == [
        f"alias\t{us}", "to\ta@x.example b@x.example", "bounces to\tthe sender",
    ]  # fmt: skip
    assert await command.ok("alias", "set", us, "--owner", "kim@example.org", "--verp") == [
        f"alias\t{us}",
        "to\ta@x.example b@x.example",
        "bounces to\tkim@example.org, one address for each recipient",
    ]
    assert await command.ok("alias", "set", us, "c@x.example", "--no-verp") == [
        f"alias\t{us}", "to\tc@x.example", "bounces to\tkim@example.org",
    ]  # fmt: skip
    resolved = await command.ok("resolve", us)
    assert resolved[1:] == ["forward c@x.example (bounces to kim@example.org)"]
    assert await command.ok("alias", "list") == [us]
    assert await command.json("alias", "list", "example.org") == [us]
    assert await command.json("alias", "remove", us) == {"removed": us}
    assert await command.ok("alias", "list") == []
    assert await command.refused("alias", "show", us)


async def test_an_address_is_one_thing_only(command: Command) -> None:
    await command.ok("alias", "add", "us@example.org", "a@x.example")
    assert "us@example.org" in await command.refused("list", "add", "us@example.org", *NEWS[1:])
    assert await command.refused("list", "show", "us@example.org")
    assert await command.refused("alias", "add", "me@example.org", "me@example.org")


async def test_a_list_comes_changes_and_goes(command: Command) -> None:
    said = await command.ok("list", "add", *NEWS, "a@x.example", "--name", "News")
    assert said == ["added news@example.org, 1 member"]
    assert await command.ok("list", "show", NEWS[0]) == [
        "list\tnews@example.org",
        "name\tNews",
        "owner\tkim@example.org",
        "may write\tanybody",
        "members\t1",
    ]
    changed = ("--posting", "moderators", "--moderator", "kim@example.org")
    shown = await command.ok("list", "set", NEWS[0], *changed)
    assert shown[3:5] == ["may write\tits moderators", "moderators\tkim@example.org"]
    cleared = ("--posting", "open", "--moderator", "")
    assert (await command.json("list", "set", NEWS[0], *cleared))["moderators"] == []
    assert await command.ok("list", "list") == [NEWS[0]]
    assert (await command.ok("resolve", NEWS[0]))[1:] == ["list news@example.org"]
    assert await command.ok("list", "remove", NEWS[0]) == [f"removed {NEWS[0]}"]
    assert await command.ok("list", "list", "example.org") == []


async def test_members_come_and_go(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "members"
    file.write_text("# friends\nb@x.example\n\n  c@x.example  \n")
    await command.ok("list", "add", *NEWS, "a@x.example")
    members = ("list", "members", NEWS[0])
    joined = await command.ok("list", "join", NEWS[0], "a@x.example", "--from", str(file))
    assert joined == ["2 joined news@example.org, now 3 members"]
    assert await command.ok(*members) == ["a@x.example", "b@x.example", "c@x.example"]
    left = await command.json("list", "leave", NEWS[0], "--from", "-", stdin="b@x.example\n")
    assert left == {"changed": ["b@x.example"], "count": 2}
    assert await command.json(*members, "--set-from", str(file)) == ["b@x.example", "c@x.example"]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("join", NEWS[0]), "say who: addresses, or --from FILE"),
        (("leave", NEWS[0]), "say who: addresses, or --from FILE"),
        (("set", NEWS[0]), "say what to set: --owner"),
        (("set", NEWS[0], "--posting", "all"), "--posting is open, members or moderators, not"),
        (("join", NEWS[0], "--from", "nowhere/at/all"), "cannot read nowhere/at/all: No such file"),
        (("add", NEWS[0]), "Missing option '--owner'"),
    ],
)
async def test_wrong_use_is_one_line(unheard: Command, args: tuple[str, ...], why: str) -> None:
    assert (await unheard.refused("list", *args, code=2)).startswith(why)
