"""Pages of addresses: in order, each row once, and nothing read that is not asked for."""

from collections.abc import Sequence

import pytest

from services.popauth import listing
from services.popauth.aliases import AliasWish
from services.popauth.listing import Listing, Row
from tests.popauth.directory import Office
from tubepost import subjects
from tubepost.address import AddressError, parse_address
from tubepost.directory_values import Account, Entry, account_key, entry_value
from tubepost.keyed import Bucket
from tubepost.ports import Stored

PASSWORD = "correct horse"
DOMAINS = ("a.example", "a-b.example", "b.example")


@pytest.fixture
async def filled(real: Office) -> Office:
    """Eight accounts in each domain, one removed, one changed often; an alias in one."""
    for domain in DOMAINS:
        await real.desk.domains.add(domain)
        for number in range(8):
            await real.desk.accounts.add_account(f"u.{number}@{domain}", PASSWORD)
        await real.desk.accounts.remove_account(f"u.3@{domain}")
        for megabytes in range(1, 5):
            await real.desk.accounts.set_quota(f"u.5@{domain}", f"{megabytes}M")
    await real.desk.aliases.add("u-x@b.example", AliasWish(to=["far@far.example"]))
    return real


async def walk(town: Office, names: Sequence[str], kind: str, limit: int) -> list[Row]:
    """All pages, one after another."""
    rows: list[Row] = []
    after = ""
    while True:
        page = await town.desk.listing.page(names, kind, after, limit)
        assert len(page.rows) <= limit
        rows += page.rows
        if not page.further:
            return rows
        assert page.further != after
        after = page.further


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.parametrize("most_read", [1, 5, 1_000])
async def test_pages_make_the_whole(
    filled: Office, monkeypatch: pytest.MonkeyPatch, limit: int, most_read: int
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", most_read)
    names = [f"u.{number}" for number in (0, 1, 2, 4, 5, 6, 7)]
    accounts = [Row(f"{n}@{d}", "account") for d in ("a-b.example", "a.example") for n in names]
    alias = Row("u-x@b.example", "alias")
    of_b = [Row(f"{n}@b.example", "account") for n in names]
    assert await walk(filled, [""], "", limit) == [*accounts, alias, *of_b]
    assert await walk(filled, ["b.example"], "account", limit) == of_b
    assert await walk(filled, ["b.example", "a-b.example"], "alias", limit) == [alias]
    assert await walk(filled, ["a.example"], "list", limit) == []
    assert await filled.desk.listing.every([""], "account") == [*accounts, *of_b]


class Watched:
    """Passes reads on, and notes the keys."""

    def __init__(self, town: Office) -> None:
        self._bus, self.read_keys = town.bus, list[str]()
        self.subjects = town.bus.subjects

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        self.read_keys.append(subject)
        return await self._bus.read(stream, subject, leader=leader)


async def test_a_page_reads_its_own_keys_alone(filled: Office) -> None:
    bus = Watched(filled)
    watched = Listing(bus, filled.directory.domain_names)  # type: ignore[arg-type]
    page = await watched.page(["b.example"], "", "u.4@b.example", 2)
    assert [row.address for row in page.rows] == ["u.5@b.example", "u.6@b.example"]
    assert page.further == "u.6@b.example"
    assert len(bus.read_keys) == 3, "one more, to know that there is more"
    bus.read_keys.clear()
    assert (await watched.page(["a.example", "a-b.example"], "list")).rows == []
    assert all(".count." in key for key in bus.read_keys), "they have no lists, as counted"


async def test_what_is_no_entry_is_said(filled: Office) -> None:
    key = account_key(parse_address("bad@a.example"))
    await filled.bus.append(subjects.bucket_key(subjects.DIRECTORY, key), b"[")
    found = await filled.desk.listing.page(["a.example"], "", "", 1)
    assert found.rows == [Row("bad@a.example", "unreadable")]


async def test_a_domain_without_a_count_is_read_through(filled: Office) -> None:
    """As earlier releases made them."""
    entry: Entry = Account("ann@old.example", "home", "hash")
    bucket = Bucket(filled.bus, subjects.DIRECTORY)
    await bucket.put(account_key(parse_address("ann@old.example")), entry_value(entry))
    found = await filled.desk.listing.page(["old.example"], "account")
    assert found.rows == [Row("ann@old.example", "account")]
    counts = await filled.desk.listing.counts("old.example", iter(()))
    assert (counts.accounts, counts.aliases, counts.lists) == (1, 0, 0)


async def test_what_is_no_address_is_no_place_to_go_on(filled: Office) -> None:
    with pytest.raises(AddressError):
        await filled.desk.listing.page([""], "", "no address")
