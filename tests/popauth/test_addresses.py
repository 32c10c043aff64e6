"""Aliases and lists, one thing at an address; what is refused changes nothing."""

import asyncio

import pytest

from services.popauth.accounts import Forwarding
from services.popauth.aliases import AliasWish
from services.popauth.lists import ListWish
from tests.popauth.directory import Office, office
from tubepost.address import parse_address
from tubepost.directory_values import Alias, MailingList
from tubepost.errors import BadInput, Exists, NotFound

PASSWORD = "correct horse"
OWNED = ListWish(owner="joe@far.example")


@pytest.fixture
async def town(real: Office) -> Office:
    """example.net, with an account, an alias and a list."""
    await real.desk.domains.add("example.net")
    await real.desk.accounts.add_account("ann@example.net", PASSWORD)
    await real.desk.aliases.add("info@example.net", AliasWish(["ann@example.net"]))
    await real.desk.lists.add("news@example.net", OWNED)
    return real


async def test_an_address_holds_one_thing(town: Office) -> None:
    desk = town.desk
    for there, kind in (("ann", "an account"), ("info", "an alias"), ("news", "a list")):
        address = f"{there}@Example.net"
        for adding in (
            desk.accounts.add_account(address, PASSWORD),
            desk.aliases.add(address, AliasWish(["x@far.example"])),
            desk.lists.add(address, OWNED),
        ):
            with pytest.raises(Exists, match=f"is there already, as {kind}"):
                await adding
    with pytest.raises(NotFound, match=r"info@example\.net is not an account but an alias"):
        await desk.accounts.get("info@example.net")
    with pytest.raises(NotFound, match=r"ann@example\.net is not a list but an account"):
        await desk.lists.remove("ann@example.net")


async def test_an_alias_comes_changes_and_goes(town: Office) -> None:
    aliases = town.desk.aliases
    wish = AliasWish(
        ["Bob@Far.example", "bob@far.example", "ann@example.net"], "ann@example.net", True
    )
    await aliases.set("INFO@example.net", wish)
    assert await town.directory.entry(parse_address("info@example.net")) == Alias(
        "info@example.net", ("Bob@far.example", "ann@example.net"), "ann@example.net", verp=True
    )
    await aliases.remove("info@example.net")
    assert await town.directory.entry(parse_address("info@example.net")) is None
    with pytest.raises(NotFound, match=r"no alias info@example\.net"):
        await aliases.set("info@example.net", wish)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (AliasWish([]), "at least one address"),
        (AliasWish(["nobody"]), "has no @"),
        (AliasWish(["x@far.example", "INFO@Example.net"]), "on to itself"),
        (AliasWish(["x@far.example"], "nobody"), "owner: "),
        (AliasWish(["x@far.example"], verp=True), "verp needs an owner"),
        (
            AliasWish([f"u{n}@far.example" for n in range(1001)]),
            "1001 addresses are more than 1000",
        ),
    ],
)
async def test_what_an_alias_cannot_be(town: Office, wish: AliasWish, text: str) -> None:
    before = await town.desk.aliases.get("info@example.net")
    with pytest.raises(BadInput, match=text):
        await town.desk.aliases.set("info@example.net", wish)
    assert await town.desk.aliases.get("info@example.net") == before


async def test_an_account_sends_on(town: Office) -> None:
    accounts = town.desk.accounts
    await accounts.change("ann@example.net", {}, Forwarding(["Bob@Far.example"], keep=False))
    account = await accounts.get("ann@example.net")
    assert (account.forward, account.keep, account.name) == (("Bob@far.example",), False, "")
    await accounts.change("ann@example.net", {"hold": True}, Forwarding(name="Ann Lee"))
    account = await accounts.get("ann@example.net")
    assert (account.forward, account.keep, account.name) == (("Bob@far.example",), False, "Ann Lee")
    assert account.flags == {"hold"}
    for wrong in (
        Forwarding(["ann@example.net"]),
        Forwarding(["bob"]),
        Forwarding(name="two\nlines"),
    ):
        with pytest.raises(BadInput):
            await accounts.change("ann@example.net", {}, wrong)
    with pytest.raises(BadInput, match="'no_fun' is none of hold, locked"):
        await accounts.set_flags("ann@example.net", {"no_fun": True})
    assert await accounts.get("ann@example.net") == account


async def test_members_join_and_leave_at_once(town: Office) -> None:
    """Two popauths: nobody's change is lost."""
    lists = town.desk.lists
    async with office(town.bus) as other:
        await asyncio.gather(
            *(
                each.desk.lists.join("news@example.net", [f"{name}{n}@far.example"])
                for name, each in (("a", town), ("b", other))
                for n in range(4)
            )
        )
    found = await lists.get("news@example.net")
    assert sorted(found.members) == [f"{name}{n}@far.example" for name in "ab" for n in range(4)]
    changed, found = await lists.join("news@example.net", ["A0@far.example", "new@far.example"])
    assert (changed, len(found.members)) == (["new@far.example"], 9)
    changed, found = await lists.leave("news@example.net", ["A0@FAR.example", "x@far.example"])
    assert (changed, len(found.members)) == (["a0@far.example"], 8)


async def test_a_list_has_ten_thousand_members_and_no_more(town: Office) -> None:
    lists = town.desk.lists
    every = [f"member-number-{n}@a-rather-long-name.example" for n in range(10_000)]
    changed, found = await lists.join("news@example.net", every)
    assert (len(changed), len(found.members)) == (10_000, 10_000)
    with pytest.raises(BadInput, match="10001 members are more than 10000"):
        await lists.join("news@example.net", ["one@more.example"])
    entry = await town.directory.entry(parse_address("news@example.net"))
    assert isinstance(entry, MailingList)
    assert entry.members == tuple(every)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (ListWish(owner=""), "needs an owner"),
        (ListWish(owner="news@example.net"), "give another owner"),
        (ListWish(members=["news@example.net"]), "on to itself"),
        (ListWish(posting="nobody"), "posting is one of open, members, moderators"),
        (ListWish(posting="moderators"), "at least one moderator"),
        (ListWish(moderators=["x"]), "has no @"),
    ],
)
async def test_what_a_list_cannot_be(town: Office, wish: ListWish, text: str) -> None:
    before = await town.desk.lists.get("news@example.net")
    with pytest.raises(BadInput, match=text):
        await town.desk.lists.change("news@example.net", wish)
    assert await town.desk.lists.get("news@example.net") == before


async def test_a_list_needs_an_owner_from_the_start(town: Office) -> None:
    with pytest.raises(BadInput, match="needs an owner"):
        await town.desk.lists.add("more@example.net", ListWish())


@pytest.mark.parametrize(
    ("name", "why"),
    [("news-return-x", "'-return-' in its name"), ("n" * 57, "up to 56 octets")],
)
async def test_a_list_needs_a_name_that_leaves_room(town: Office, name: str, why: str) -> None:
    """See docs/howto/lists.md: reports come to `name-return-...@`."""
    with pytest.raises(BadInput, match=why):
        await town.desk.lists.add(f"{name}@example.net", OWNED)
    with pytest.raises(NotFound):
        await town.desk.lists.get(f"{name}@example.net")


async def test_the_longest_name_of_a_list(town: Office) -> None:
    added = await town.desk.lists.add(f"{'n' * 56}@example.net", OWNED)
    assert added.address == f"{'n' * 56}@example.net"
