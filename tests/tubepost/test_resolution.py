"""What an address stands for: each row by example, and what holds for any directory."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.address import Address, parse_address
from tubepost.candidates import PREFIXES, Way, candidates
from tubepost.conventions import Conventions
from tubepost.directory_values import (
    DELETE,
    HOLD,
    LOCKED,
    NO_POP,
    REFUSE,
    Account,
    Alias,
    Domain,
    Entry,
    MailingList,
)
from tubepost.resolution import (
    Discard,
    Forward,
    Post,
    Refuse,
    Resolution,
    Rule,
    Store,
    ToOwner,
    Wait,
    resolve,
)

BOTH = Conventions(("-", "+"))
HOME = Domain("o.example")
JOE = Account("joe@o.example", "home", "hash")
TALK = MailingList("talk@o.example", "ann@far.example", ("bob@far.example",))
SALES = Alias("sales@o.example", ("joe@o.example", "bob@far.example"))


def directory(*entries: Entry) -> dict[str, Entry]:
    return {parse_address(entry.address).key: entry for entry in entries}


def resolved(
    name: str, *entries: Entry, domain: Domain = HOME, by: Conventions = BOTH
) -> Resolution:
    return resolve(parse_address(f"{name}@o.example"), domain, directory(*entries), by)


def alias(name: str, *to: str) -> Alias:
    return Alias(f"{name}@o.example", to)


def on_to(*to: str, via: str) -> Forward:
    return Forward(to, f"{via}@o.example")


@pytest.mark.parametrize(
    ("name", "rule", "actions"),
    [
        ("joe", Rule.ACCOUNT, (Store(JOE),)),
        ("JOE", Rule.ACCOUNT, (Store(JOE),)),
        ("sales", Rule.ALIAS, (on_to(*SALES.to, via="sales"),)),
        ("talk", Rule.LIST, (Post(TALK),)),
        ("talk-owner", Rule.LIST_OWNER, (ToOwner(TALK),)),
        ("Talk-Request", Rule.LIST_OWNER, (ToOwner(TALK),)),
        ("talk-return-", Rule.LIST_RETURN, (ToOwner(TALK),)),
        ("talk-return-bob=far.example", Rule.LIST_RETURN, (ToOwner(TALK),)),
        ("joe-x", Rule.EXTENSION, (Store(JOE),)),
        ("joe+x-y", Rule.EXTENSION, (Store(JOE),)),
        ("sales-x", Rule.EXTENSION, (on_to(*SALES.to, via="sales"),)),
    ],
)
def test_the_rows_of_what_is_there(name: str, rule: Rule, actions: object) -> None:
    found = resolved(name, JOE, SALES, TALK)
    assert found == Resolution(f"{name}@o.example", rule, found.actions)
    assert found.actions == actions
    assert found.exists


@pytest.mark.parametrize("name", ["talk-x", "talk-return", "owner", "-owner", "-return-x", "-x"])
def test_a_list_has_no_other_addresses(name: str) -> None:
    found = resolved(name, JOE, TALK)
    assert found.rule is Rule.NOBODY
    assert not found.exists


def test_addresses_of_lists_need_no_extensions() -> None:
    none = Conventions(("none",))
    assert resolved("talk-owner", TALK, by=none).rule is Rule.LIST_OWNER
    assert resolved("talk-return-x=y", TALK, by=none).rule is Rule.LIST_RETURN
    assert resolved("joe-x", JOE, by=none).rule is Rule.NOBODY


def test_the_longest_prefix_takes_an_extension() -> None:
    """joe-a-b: taken away one by one, the next in order has it."""
    order: list[Entry] = [
        alias("joe-a-default", "x@far.example"),
        replace(JOE, address="joe-a@o.example"),
        alias("joe-default", "y@far.example"),
        JOE,
    ]
    rules = []
    while order:
        found = resolved("joe-a-b", *order)
        rules.append(found.rule)
        match found.actions[0]:
            case Store(account):
                assert account == order[0]
            case other:
                assert other == on_to(*order[0].to, via=order[0].address.partition("@")[0])  # type: ignore[union-attr]
        del order[0]
    assert rules == [Rule.DEFAULT, Rule.EXTENSION, Rule.DEFAULT, Rule.EXTENSION]


def test_the_separator_that_was_used_stands_before_default() -> None:
    plus, minus = alias("joe+default", "x@far.example"), alias("joe-default", "y@far.example")
    assert resolved("joe+a", plus, minus).actions == (on_to("x@far.example", via="joe+default"),)
    assert resolved("joe-a", plus, minus).actions == (on_to("y@far.example", via="joe-default"),)
    only_plus = Conventions(("+",))
    assert resolved("joe-a", minus, JOE, by=only_plus).rule is Rule.NOBODY


def test_only_an_alias_is_a_default() -> None:
    account = replace(JOE, address="joe-default@o.example")
    assert resolved("joe-x", account).rule is Rule.NOBODY
    assert resolved("joe-default", account).rule is Rule.ACCOUNT


def test_a_list_in_between_is_passed_over() -> None:
    inner = replace(TALK, address="joe-talk@o.example")
    assert resolved("joe-talk-x", inner, JOE).actions == (Store(JOE),)
    assert resolved("joe-talk-owner", inner, JOE).actions == (ToOwner(inner),)


@pytest.mark.parametrize("name", ["joe", "joe-x"])
def test_flags_hold_for_extensions_too(name: str) -> None:
    locked = replace(JOE, flags=frozenset({LOCKED, HOLD}), forward=("x@far.example",))
    found = resolved(name, locked)
    assert (found.rule, found.actions) == (
        Rule.LOCKED,
        (Refuse("account is locked (#5.2.1)", "5.2.1"),),
    )
    assert found.exists
    held = resolved(name, replace(locked, flags=frozenset({HOLD})))
    assert held.rule is Rule.HOLD
    assert isinstance(held.actions[0], Wait)
    assert len(resolved(name, replace(locked, flags=frozenset({NO_POP}))).actions) == 2


FAR = ("x@far.example", "y@far.example")


@pytest.mark.parametrize(
    ("forward", "keep", "to"),
    [
        (FAR, False, FAR),
        (FAR, True, ("store", *FAR)),
        (("x@far.example", "X@FAR.example", "y@far.example"), False, FAR),
        (("JOE@o.example", *FAR), False, ("store", *FAR)),
        (("joe@o.example",), False, ("store",)),
        (("no address",), False, ("no address",)),
    ],
)
def test_forwards_with_and_without_a_copy(
    forward: tuple[str, ...], keep: bool, to: tuple[str, ...]
) -> None:
    account = replace(JOE, forward=forward, keep=keep)
    for name in ("joe", "joe-x"):
        got: list[str] = []
        for action in resolved(name, account).actions:
            got += action.to if isinstance(action, Forward) else [action.name]
        assert tuple(got) == to


def test_a_name_of_an_alias_domain_is_the_same_address() -> None:
    def canonical(address: Address) -> Address:
        return replace(address, domain="o.example") if address.domain == "o2.example" else address

    by = replace(BOTH, canonical=canonical)
    account = replace(JOE, forward=("joe@o2.example", "ann@o2.example", "ann@o.example"))
    account = replace(account, keep=False)
    found = resolved("joe", account, by=by)
    assert found.actions == (Store(account), on_to("ann@o2.example", via="joe"))
    domain = replace(HOME, unknown="all@o2.example")
    assert isinstance(resolved("all", domain=domain, by=by).actions[0], Wait)


def test_an_alias_that_leads_to_nobody_else_is_a_fault_not_a_refusal() -> None:
    for name in ("loop", "loop-x"):
        found = resolved(name, alias("loop", "Loop@o.example"))
        assert found.actions == (Wait("This alias leads to nobody else. (#4.3.5)", "4.3.5"),)
    assert isinstance(resolved("empty", alias("empty")).actions[0], Wait)


def test_owner_and_verp_of_an_alias_go_with_the_mail() -> None:
    wide = Alias("all@o.example", FAR, owner="all-owner@o.example", verp=True)
    expected = Forward(FAR, "all@o.example", "all-owner@o.example", verp=True)
    assert resolved("all", wide).actions == (expected,)


@pytest.mark.parametrize(
    ("unknown", "rule", "action"),
    [
        (REFUSE, Rule.NOBODY, Refuse("Sorry, no mailbox here by that name. (#5.1.1)", "5.1.1")),
        (DELETE, Rule.DELETED, Discard()),
        ("all@far.example", Rule.CATCH_ALL, on_to("all@far.example", via="who")),
        (
            "who@o.example",
            Rule.CATCH_ALL,
            Wait("The catch-all address of this domain is not there. (#4.3.5)", "4.3.5"),
        ),
    ],
)
def test_nobody(unknown: str, rule: Rule, action: object) -> None:
    found = resolved("who", JOE, domain=replace(HOME, unknown=unknown))
    assert (found.rule, found.actions) == (rule, (action,))
    assert found.exists == (unknown != REFUSE)


def test_an_srs_address_goes_back_to_its_sender_before_extensions_take_it() -> None:
    def reverse(address: Address) -> str | None:
        return "kim@far.example" if address.box.startswith("srs0=") else None

    by = replace(BOTH, reverse=reverse)
    name = "SRS0=abcd=xy=far.example=kim"
    assert resolved(name, by=by) == Resolution(
        f"{name}@o.example", Rule.SRS, (on_to("kim@far.example", via=name),)
    )
    there = replace(JOE, address=f"{name}@o.example")
    assert resolved(name, there, by=by).rule is Rule.ACCOUNT
    assert resolved("srs1=x", by=by).rule is Rule.NOBODY


PARTS = ["joe", "a", "talk", "owner", "request", "return", "default", "", "é", "x" * 20]
NAMES = st.builds(
    lambda first, more: first + "".join(f"{cut}{part}" for cut, part in more),
    st.sampled_from(PARTS),
    st.lists(st.tuples(st.sampled_from("-+."), st.sampled_from(PARTS)), max_size=7),
)
DOMAINS = st.sampled_from(["o.example", "other.example"])
ADDRESSES = st.builds(Address, NAMES, st.just("o.example"))
ANYWHERE = st.builds(Address, NAMES, DOMAINS)
TARGETS = st.lists(ANYWHERE.map(str) | st.just("no address"), max_size=4).map(tuple)
ENTRIES = st.one_of(
    st.builds(
        lambda address, flags, forward, keep: Account(
            str(address), "home", "hash", flags, forward=forward, keep=keep
        ),
        ANYWHERE,
        st.frozensets(st.sampled_from([LOCKED, HOLD, NO_POP])),
        TARGETS,
        st.booleans(),
    ),
    st.builds(lambda address, to: Alias(str(address), to), ANYWHERE, TARGETS),
    st.builds(lambda address: MailingList(str(address), "kim@far.example"), ANYWHERE),
)
DIRECTORIES = st.lists(st.tuples(ANYWHERE, ENTRIES), max_size=12).map(
    lambda pairs: {a.key: replace(entry, address=str(a)) for a, entry in pairs}
)
SITES = st.builds(
    Conventions,
    st.sampled_from([("-", "+"), ("-",), ("+",), ("none",), ("none", "-")]),
    st.sampled_from([lambda _: None, lambda a: "k@far.example" if "x" in a.local else None]),
)
HOMES = st.builds(
    Domain,
    st.just("o.example"),
    unknown=st.sampled_from([REFUSE, DELETE, "joe@o.example", "all@far.example"]),
    hold=st.booleans(),
)


def looked_up(address: Address, by: Conventions) -> list[str]:
    return [address.key, *(c.address.key for c in candidates(address, by.separators))]


@given(ADDRESSES, HOMES, DIRECTORIES, SITES)
def test_any_address_has_one_rule_and_something_to_do(
    address: Address, domain: Domain, there: dict[str, Entry], by: Conventions
) -> None:
    found = resolve(address, domain, there, by)
    assert found.rule in Rule
    assert found.address == str(address)
    names = [action.name for action in found.actions]
    assert names in (["store", "forward"], names[:1])
    assert names
    for action in found.actions:
        if isinstance(action, Forward):
            keys = [by.key(target) for target in action.to]
            assert keys
            assert len(set(keys)) == len(keys)
            assert address.key not in keys


@given(ADDRESSES, HOMES, DIRECTORIES, SITES, ENTRIES)
def test_what_is_at_the_very_address_wins_over_all_but_a_hold(
    address: Address, domain: Domain, there: dict[str, Entry], by: Conventions, entry: Entry
) -> None:
    exact = replace(entry, address=str(address))
    found = resolve(address, domain, there | {address.key: exact}, by)
    assert found == resolve(address, domain, {address.key: exact}, by)
    rules = {
        Account: {Rule.LOCKED, Rule.HOLD, Rule.ACCOUNT, Rule.ACCOUNT_FORWARD},
        Alias: {Rule.ALIAS},
        MailingList: {Rule.LIST},
    }[type(entry)]
    assert found.rule in ({Rule.DOMAIN_HOLD} if domain.hold else rules)


@given(ADDRESSES, HOMES, DIRECTORIES, SITES)
def test_what_is_not_looked_up_changes_nothing(
    address: Address, domain: Domain, there: dict[str, Entry], by: Conventions
) -> None:
    """So smtpd and local agree, whatever else is in the directory; nobody stores elsewhere."""
    few = {key: there[key] for key in looked_up(address, by) if key in there}
    found = resolve(address, domain, few, by)
    assert found == resolve(address, domain, there, by)
    stored = [action.account for action in found.actions if isinstance(action, Store)]
    assert all(parse_address(a.address, utf8=True).domain == "o.example" for a in stored)


@given(ADDRESSES, HOMES, DIRECTORIES, SITES)
def test_the_first_candidate_that_fits_is_all_that_has_to_be_known(
    address: Address, domain: Domain, there: dict[str, Entry], by: Conventions
) -> None:
    """As the resolver stops there."""
    tried = candidates(address, by.separators)
    fit = [c.address.key for c in tried if c.is_for(there.get(c.address.key))][:1]
    known = {key: there[key] for key in ([address.key] if address.key in there else fit)}
    assert resolve(address, domain, known, by) == resolve(address, domain, there, by)


@given(st.builds(Address, st.text(max_size=64), st.just("o.example")), SITES)
def test_candidates_are_few_and_the_longest_comes_first(address: Address, by: Conventions) -> None:
    found = candidates(address, by.separators)
    assert {candidate.address.domain for candidate in found} <= {"o.example"}
    extensions = [c.address.local for c in found if c.way is Way.EXTENSION]
    assert len(extensions) <= PREFIXES
    assert len(found) <= 2 * PREFIXES + 2
    assert extensions == sorted(extensions, key=len, reverse=True)
    assert all(extensions)
    assert all(address.box.startswith(name) for name in extensions)


def test_the_shortest_names_are_tried_however_long_the_extension() -> None:
    name = Address("joe-" + "-".join("abcdefgh"), "o.example")
    tried = [c.address.local for c in candidates(name, ("-",)) if c.way is Way.EXTENSION]
    assert tried == ["joe-a-b-c", "joe-a-b", "joe-a", "joe"]
