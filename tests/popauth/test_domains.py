"""Domains: other names, limits, what is counted; and that nothing passes a change by."""

import asyncio
import time

import pytest

from services.popauth.aliases import AliasWish
from services.popauth.changes import Act, Change
from services.popauth.counts import counts_key
from services.popauth.domains import DomainWish, LimitsWish
from services.popauth.lists import ListWish
from tests.popauth.directory import Office, office
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory_values import (
    DELETE,
    Account,
    Domain,
    account_key,
    domain_key,
    domain_value,
    entry_value,
)
from tubepost.errors import BadInput, Exists, NotFound
from tubepost.keyed import Bucket
from tubepost.quota import Quota

PASSWORD = "correct horse"
ALIAS = AliasWish(["joe@far.example"])


async def test_another_name_of_a_domain(real: Office) -> None:
    domains, accounts = real.desk.domains, real.desk.accounts
    await domains.add("example.net")
    await domains.add("example.org", alias_of="Example.NET")
    assert domains.aliases("example.net") == ["example.org"]
    assert await accounts.add_account("Ann@example.org", PASSWORD) == "ann@example.net"
    assert (await accounts.get("ann@EXAMPLE.org")).address == "ann@example.net"
    assert (await domains.get("example.net"))[1].domains == 1
    with pytest.raises(BadInput, match=r"is itself another name of example\.net"):
        await domains.add("example.com", alias_of="example.org")
    with pytest.raises(NotFound, match=r"no domain nowhere\.example"):
        await domains.add("example.com", alias_of="nowhere.example")
    with pytest.raises(BadInput, match="another name of itself"):
        await domains.add("example.com", alias_of="example.com")
    await accounts.remove_account("ann@example.net")
    with pytest.raises(Exists, match=r"example\.org stands for example\.net; remove that first"):
        await domains.remove("example.net")
    await domains.add("example.com")
    with pytest.raises(Exists, match="other names of its own"):
        await domains.change("example.net", DomainWish(alias_of="example.com"))
    await domains.remove("example.org")
    await domains.remove("example.net")
    assert real.directory.domain_names() == ["example.com"]


async def test_a_domain_becomes_another_name_and_one_of_its_own_again(real: Office) -> None:
    domains = real.desk.domains
    for name in ("a.example", "b.example", "c.example"):
        await domains.add(name)
    await real.accounts.add_account("ann@b.example", PASSWORD)
    with pytest.raises(Exists, match="has 1 accounts"):
        await domains.change("b.example", DomainWish(alias_of="a.example"))
    await real.accounts.remove_account("ann@b.example")
    await domains.change("b.example", DomainWish(alias_of="a.example"))
    await domains.change("b.example", DomainWish(alias_of="c.example"))
    assert [(await domains.get(n))[1].domains for n in ("a.example", "c.example")] == [0, 1]
    await domains.change("b.example", DomainWish(alias_of=""))
    assert (await domains.get("c.example"))[1].domains == 0
    await real.accounts.add_account("ann@b.example", PASSWORD)


async def test_a_domain_knows_since_when_it_has_had_a_quota(real: Office) -> None:
    """What was counted before says nothing: no one booked what came in between."""
    began = time.time()
    await real.desk.domains.add("example.org")

    async def since(quota: str) -> float:
        await real.desk.domains.change("example.org", DomainWish(quota=quota))
        changed, _ = await real.desk.domains.get("example.org")
        return changed.quota_since

    first = await since("1G")
    assert began - 10 < first <= time.time()
    assert (await since("2G"), await since("NOQUOTA")) == (first, 0.0)
    assert await since("2G") >= first
    [last, *_] = await real.desk.history.of_domains(["example.org"], 0, 100)
    assert last.diff == "quota: NOQUOTA -> 2147483648S"


async def test_what_a_domain_is_set_to(real: Office) -> None:
    domains = real.desk.domains
    await domains.add("example.net")
    limits = LimitsWish(accounts=2, quota="10M", flags=["no_pop"])
    wish = DomainWish(unknown=DELETE, hold=True, quota="1G,1000C", limits=limits)
    changed, _ = await domains.change("example.net", wish)
    assert (changed.unknown, changed.hold, str(changed.quota)) == (
        DELETE,
        True,
        "1073741824S,1000C",
    )
    await domains.change("example.net", DomainWish(limits=LimitsWish(lists=1)))
    now, _ = await domains.get("example.net")
    assert (now.limits.accounts, now.limits.lists, now.limits.quota) == (2, 1, Quota(10 * 1024**2))
    assert now.limits.flags == {"no_pop"}
    assert real.directory.domain("example.net") == now


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (DomainWish(unknown="somebody"), "none of refuse, delete, or an address"),
        (DomainWish(unknown="a b@example.org"), "catch-all: "),
        (DomainWish(unknown="nobody@example.net"), r"there is nothing at nobody@example\.net"),
        (DomainWish(quota="much"), "is not a quota"),
        (DomainWish(limits=LimitsWish(flags=["locked"])), "'locked' is none of no_pop"),
        (DomainWish(alias_of="example.net"), "another name of itself"),
    ],
)
async def test_what_a_domain_cannot_be_set_to(real: Office, wish: DomainWish, text: str) -> None:
    await real.desk.domains.add("example.net")
    before = await real.desk.domains.get("example.net")
    with pytest.raises(BadInput, match=text):
        await real.desk.domains.change("example.net", wish)
    assert await real.desk.domains.get("example.net") == before


async def test_limits_hold_whatever_comes_at_once(real: Office) -> None:
    """Two popauths, twelve accounts at the same time, five allowed."""
    await real.desk.domains.add("example.net")
    limits = LimitsWish(accounts=5, aliases=1, lists=1)
    await real.desk.domains.change("example.net", DomainWish(limits=limits))
    async with office(real.bus) as other:
        results = await asyncio.gather(
            *(
                each.accounts.add_account(f"user{n}@example.net", PASSWORD)
                for n in range(6)
                for each in (real, other)
            ),
            return_exceptions=True,
        )
    made = [result for result in results if isinstance(result, str)]
    assert len(made) == 5
    assert all(isinstance(r, Exists) for r in results if not isinstance(r, str))
    assert sorted(made) == await real.accounts.list("example.net")
    assert (await real.desk.domains.get("example.net"))[1].accounts == 5
    await real.desk.aliases.add("alias@example.net", ALIAS)
    await real.desk.lists.add("list@example.net", ListWish(owner="joe@far.example"))
    with pytest.raises(Exists, match="has 1 of 1 aliases"):
        await real.desk.aliases.add("more@example.net", ALIAS)
    with pytest.raises(Exists, match="has 1 of 1 lists"):
        await real.desk.lists.add("more@example.net", ListWish(owner="joe@far.example"))
    await real.desk.aliases.remove("alias@example.net")
    await real.desk.aliases.add("more@example.net", ALIAS)


async def test_a_domain_is_not_removed_under_what_is_being_added(real: Office) -> None:
    """Either the account is there and the domain, or neither."""
    for round_ in range(5):
        name = f"d{round_}.example"
        await real.desk.domains.add(name)
        added, removed = await asyncio.gather(
            real.accounts.add_account(f"ann@{name}", PASSWORD),
            real.desk.domains.remove(name),
            return_exceptions=True,
        )
        there = name in real.directory.domains
        assert there == (added == f"ann@{name}")
        assert isinstance(removed, Exists) == there
        assert await real.accounts.list(name) == ([f"ann@{name}"] if there else [])


async def test_a_domain_of_an_earlier_release_is_counted_first(real: Office) -> None:
    """There was no count, and no history."""
    bucket = Bucket(real.bus, subjects.DIRECTORY)
    revision = await bucket.put(domain_key("old.example"), domain_value(Domain("old.example")))
    ann = parse_address("ann@old.example")
    account = Account(str(ann), "old.example/73/ann", "hash")
    await bucket.put(account_key(ann), entry_value(account))
    await real.directory.seen(domain_key("old.example"), revision)
    with pytest.raises(Exists, match="has 1 accounts; remove them first"):
        await real.desk.domains.remove("old.example")
    await real.accounts.add_account("bob@old.example", PASSWORD)
    assert (await real.desk.domains.get("old.example"))[1].accounts == 2
    assert (await bucket.get(counts_key("old.example"), leader=True)) is not None


async def test_a_domain_that_a_token_is_for_stays(real: Office) -> None:
    """Else the token would be good for whoever has the domain next."""
    await real.desk.domains.add("example.net")
    _, token = await real.desk.tokens.add("joe", ["example.net"], 0, "admin")
    with pytest.raises(Exists, match=r"the token joe is for example\.net; revoke it first"):
        await real.desk.domains.remove("example.net")
    await real.desk.tokens.revoke(token.id, "admin")
    await real.desk.domains.remove("example.net")


async def test_what_is_too_big_for_the_bus_is_not_written(real: Office) -> None:
    changes = real.desk.addresses.changes
    was = await changes.last("domain.big=2Eexample")
    with pytest.raises(BadInput, match="900000 is the most"):
        await changes.write(
            Act("admin", "domain added", "big.example"),
            Change("domain.big=2Eexample", {"unknown": "x" * 900_000}, was),
        )
    assert await changes.last("domain.big=2Eexample") == was
