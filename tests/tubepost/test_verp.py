"""VERP: the sender of each recipient's copy, held against qmail-send's senderadd."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import verp
from tubepost.address import Address, AddressError, parse_address

LIST = "list-@host.example-@[]"


@pytest.mark.parametrize(
    ("sender", "recipient", "copy"),
    [
        (LIST, "joe@far.example", "list-joe=far.example@host.example"),
        ("list-return-12-@host.example-@[]", "J.Doe@a.b", "list-return-12-J.Doe=a.b@host.example"),
        ("list@host.example-@[]", "joe@a.b", "listjoe=a.b@host.example"),
        (LIST, '"joe blow"@a.b', '"list-joe blow=a.b"@host.example'),
        (LIST, '"a@b"@c.d', '"list-a@b=c.d"@host.example'),
        ('"my list-"@h.example-@[]', "joe@a.b", '"my list-joe=a.b"@h.example'),
        (LIST, "joe@[192.0.2.1]", '"list-joe=[192.0.2.1]"@host.example'),
        ("joe@example.org", "ann@a.b", "joe@example.org"),
        ("", "ann@a.b", ""),
        ("#@[]", "ann@a.b", "#@[]"),
        (LIST, "nobody", LIST),
        ("list-@[]", "ann@a.b", "list-@[]"),
        (LIST, f"{'j' * 55}@b.c", f"list-{'j' * 55}=b.c@host.example"),
        (LIST, f"{'j' * 56}@b.c", "list-@host.example"),
    ],
)
def test_the_sender_of_a_copy(sender: str, recipient: str, copy: str) -> None:
    assert verp.sender_for(sender, recipient) == copy


@given(st.sampled_from(["list-", "a b", "x"]), st.sampled_from(["joe", '"joe blow"', "J"]))
def test_whose_a_copy_is(box: str, name: str) -> None:
    sender = str(Address(box, "host.example"))
    made = verp.sender_for(sender + verp.ENDING, f"{name}@far.example")
    assert made != sender
    assert verp.owner_for(made, f"{name}@far.example") == sender
    assert verp.owner_for(made, f"{name}@FAR.example") == sender
    assert verp.owner_for(made, "ann@far.example") == made


@pytest.mark.parametrize("sender", ["", "#@[]", "joe=far.example@host.example", "joe@far.example"])
def test_what_is_no_copy_is_the_sender_s(sender: str) -> None:
    assert verp.owner_for(sender, "joe@far.example") == sender


def senderadd(sender: str, recipient: str) -> str:
    """What qmail-send 1.03 does, index by index."""
    i = len(sender)
    if i >= 4 and sender[i - 4 :] == "-@[]":
        j = sender.rfind("@", 0, i - 4)
        j = i - 4 if j < 0 else j
        k = recipient.rfind("@")
        if k >= 0 and j + 5 <= i:
            host = sender[j + 1 : j + 1 + (i - 5 - j)]
            return f"{sender[:j]}{recipient[:k]}={recipient[k + 1 :]}@{host}"
    return sender


PLAIN = st.text(st.sampled_from("abc-@=[]#"), max_size=12)


@given(PLAIN, st.sampled_from(["", "-@[]"]), PLAIN)
def test_it_is_qmail_s(sender: str, ending: str, recipient: str) -> None:
    """For local parts without quotes, which qmail does not have inside."""
    ours, theirs = (
        verp.sender_for(sender + ending, recipient),
        senderadd(sender + ending, recipient),
    )
    assert ours.replace('"', "") == theirs


@pytest.mark.parametrize(
    ("sender", "owner"),
    [(LIST, "list-@host.example"), ("a@b.example", "a@b.example"), ("#@[]", "#@[]"), ("", "")],
)
def test_reports_go_to_the_owner(sender: str, owner: str) -> None:
    assert verp.owner(sender) == owner
    assert verp.is_verp(sender) == (owner != sender)


def test_a_sender_is_read_with_its_ending() -> None:
    assert verp.parse_sender("List-@Host.EXAMPLE-@[]") == "List-@host.example-@[]"
    assert verp.parse_sender("joe@EXAMPLE.org") == "joe@example.org"


@pytest.mark.parametrize("text", ["", "-@[]", "list-@[]", "#@[]", "a@b-@[]-@[]", "a b@c.d-@[]"])
def test_what_is_no_sender(text: str) -> None:
    with pytest.raises(AddressError):
        verp.parse_sender(text)


@given(st.sampled_from(["a", '"a b"', '"\\""']), st.sampled_from(["joe", '"j b"', '"\\\\"']))
def test_every_copy_has_a_sender_that_is_an_address(box: str, recipient: str) -> None:
    copy = verp.sender_for(f"{box}@host.example-@[]", f"{recipient}@far.example")
    assert str(parse_address(copy)) == copy
