"""`tubepost domain`, `quota` and `token` against popauth on a real bus."""

import json
from pathlib import Path

import pytest

from tests.ctl.running import Command

SECRET = "correct horse battery\n"


async def test_domains_come_and_go(command: Command) -> None:
    assert await command.ok("domain", "add", "New.Example") == ["added new.example"]
    assert await command.ok("domain", "list") == ["example.org", "new.example"]
    assert await command.json("domain", "list") == ["example.org", "new.example"]
    assert await command.json("domain", "remove", "new.example") == {"removed": "new.example"}
    assert await command.ok("domain", "list") == ["example.org"]
    assert "there is no domain" in await command.refused("domain", "remove", "new.example")


async def test_another_name_of_a_domain(command: Command) -> None:
    said = await command.ok("domain", "alias", "alias.example", "example.org")
    assert said == ["added alias.example, another name of example.org"]
    assert await command.ok("domain", "show", "alias.example") == [
        "domain\talias.example",
        "alias of\texample.org",
    ]
    assert "other names\talias.example" in await command.ok("domain", "show", "example.org")
    assert "alias.example" in await command.refused("domain", "remove", "example.org")


async def test_mail_for_nobody(command: Command) -> None:
    async def says(*args: str) -> str:
        lines = await command.ok("domain", *args)
        return dict(line.split("\t", 1) for line in lines)["mail for nobody"]

    assert await says("show", "example.org") == "is refused"
    assert await says("set", "example.org", "--unknown", "delete") == "is thrown away"
    assert await says("set", "example.org", "--unknown", "a@x.example") == "goes to a@x.example"
    assert await says("set", "example.org", "--unknown", "bounce-no-mailbox") == "is refused"
    await command.ok("domain", "add", "new.example", "--unknown", "delete")
    assert await says("show", "new.example") == "is thrown away"
    assert await command.refused("domain", "set", "example.org", "--unknown", "frob")


async def test_limits(command: Command) -> None:
    given = ("--accounts", "1", "--quota", "10M", "--flags", "disable_pop,no_smtp")
    assert await command.ok("domain", "limits", "example.org", *given) == [
        "accounts\t0 of 1",
        "aliases\t0 of any number",
        "lists\t0 of any number",
        "quota of a new account\t10485760S",
        "flags of all accounts\tno_pop no_smtp",
    ]
    await command.ok("account", "add", "a@example.org", "--password-stdin", stdin=SECRET)
    assert await command.ok("account", "quota", "a@example.org") == ["10485760S"]
    shown = await command.ok("account", "show", "a@example.org")
    assert "flags by its domain\tno_pop no_smtp" in shown
    add = ("account", "add", "b@example.org", "--password-stdin")
    assert await command.refused(*add, stdin=SECRET)
    found = await command.json("domain", "limits", "example.org", "--flags", "none")
    assert (found["flags"], found["accounts"]) == ([], 1)


async def test_a_domain_on_hold(command: Command) -> None:
    await command.ok("domain", "hold", "example.org")
    assert "on hold\tyes" in await command.ok("domain", "show", "example.org")
    said = await command("domain", "release", "example.org")
    assert (said.code, said.lines) == (0, ["mail for example.org is delivered"])
    assert "tubepost queue flush --recipient @example.org" in said.error
    assert "on hold\tno" in await command.ok("domain", "show", "example.org")


async def test_quotas_of_domains_and_mailboxes(command: Command) -> None:
    await command.ok("account", "add", "joe@example.org", "--password-stdin", stdin=SECRET)
    assert await command.ok("domain", "quota", "example.org") == ["NOQUOTA"]
    assert await command.ok("domain", "quota", "example.org", "1G") == ["1073741824S"]
    said = await command.ok("quota", "set", "example.org", "10M,100C")
    assert said[0].startswith("example.org\tquota 10485760S,100C\tused ")
    said = await command.ok("quota", "set", "joe@example.org", "1000C")
    assert said[0].startswith("joe@example.org\tquota 1000C\tused ")
    assert (await command.json("quota", "show", "joe@example.org"))["quota"] == "1000C"
    assert await command.refused("quota", "show", "nobody@example.org")


async def test_a_domain_s_administrator_uses_the_same_commands(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await command.ok("domain", "add", "other.example")
    made = await command("token", "add", "ann", "--domain", "example.org", "--expires", "30d")
    [token] = made.lines
    assert "shown this once" in made.error
    (tmp_path / "token").write_text(token + "\n")
    mine = ("--token-file", str(tmp_path / "token"))
    add = ("account", "add", "joe@example.org", "--password-stdin")
    assert await command.ok(*add, *mine, stdin=SECRET) == ["added joe@example.org"]
    theirs = ("account", "add", "joe@other.example", "--password-stdin")
    assert "not for that domain" in await command.refused(*theirs, *mine, stdin=SECRET)
    assert "admin token" in await command.refused("token", "list", *mine)
    assert "\tann\taccount added\tjoe@example.org" in "\n".join(await command.ok("history"))

    [line] = await command.ok("token", "list")
    id_, name, domains, until = line.split("\t")
    assert (name, domains, until[:7]) == ("ann", "example.org", "until 2")
    assert token not in json.dumps(await command.json("token", "list"))
    assert await command.ok("token", "revoke", "ann") == [f"revoked {id_} (ann)"]
    assert await command.refused("account", "list", "example.org", *mine)
    assert await command.refused("token", "revoke", id_) == (
        f"there is no token {id_}; see: tubepost token list"
    )
    monkeypatch.setenv("TUBEPOST_TOKEN", token)
    assert await command.ok("token", "list") == []


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot read the token in"), ("", "has no token"), ("two words", "has no token")],
)
async def test_a_token_file_without_a_token_is_said(
    unheard: Command, tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "mine"
    if content is not None:
        file.write_text(content)
    assert why in await unheard.refused("domain", "list", "--token-file", str(file), code=2)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("domain", "set", "example.org"), "say what to set: --unknown refuse"),
        (("domain", "limits", "example.org", "--flags", "no_fun"), "there is no flag 'no_fun'"),
        (("domain", "limits", "example.org", "--quota", "many"), "'many' is not a quota"),
        (("domain", "quota", "example.org", "many"), "'many' is not a quota: give 10M"),
        (("quota", "set", "joe@example.org", "many"), "'many' is not a quota: give 10M"),
        (("token", "add", "ann"), "Missing option '--domain'"),
        (("token", "add", "ann", "--domain", "example.org", "--expires", "soon"), "'soon' is no"),
    ],
)
async def test_wrong_use_is_one_line(unheard: Command, args: tuple[str, ...], why: str) -> None:
    assert (await unheard.refused(*args, code=2)).startswith(why)


async def test_a_platform_that_is_away_is_said(unheard: Command) -> None:
    assert "does not answer" in await unheard.refused("domain", "list")
