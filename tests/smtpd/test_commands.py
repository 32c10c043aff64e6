"""The arguments of MAIL and RCPT: what is read, what is refused, and that nothing else happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.commands import Path, UnknownParameter, parse_mail, parse_rcpt
from tubepost import verp
from tubepost.address import parse_address
from tubepost.errors import BadInput


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("FROM:<joe@example.org>", "joe@example.org"),
        ("from:<joe@example.org>", "joe@example.org"),
        ("FROM: <joe@example.org>", "joe@example.org"),
        ("FROM:joe@example.org", "joe@example.org"),
        ("FROM: joe@example.org", "joe@example.org"),
        ("FROM:<Joe@EXAMPLE.Org>", "Joe@example.org"),
        ("FROM:<joe@example.org.>", "joe@example.org"),
        ("FROM:<joe@[192.0.2.1]>", "joe@[192.0.2.1]"),
        ("FROM:<joe@[IPv6:2001:db8::1]>", "joe@[IPv6:2001:db8::1]"),
        ("FROM:<>", ""),
        ("FROM: <>", ""),
        ("FROM:<@relay.example:joe@example.org>", "joe@example.org"),
        ("FROM:<@a.example,@b.example:joe@example.org>", "joe@example.org"),
        ('FROM:<"joe blow"@example.org>', '"joe blow"@example.org'),
        ('FROM:<"joe>blow"@example.org>', '"joe>blow"@example.org'),
        ('FROM:<"joe\\"> blow"@example.org>', '"joe\\"> blow"@example.org'),
        ('FROM:<"a@b"@example.org>', '"a@b"@example.org'),
        ('FROM:<"joe"@example.org>', "joe@example.org"),
        ('FROM:<@relay.example:"x:y"@example.org>', '"x:y"@example.org'),
        ("FROM:<list-@example.org-@[]>", "list-@example.org-@[]"),
        ("FROM:list-@Example.ORG-@[]", "list-@example.org-@[]"),
    ],
)
def test_path_of_mail(argument: str, address: str) -> None:
    assert parse_mail(argument) == Path(address, {})


@pytest.mark.parametrize(
    ("argument", "parameters"),
    [
        ("FROM:<a@b.example> SIZE=1000", {"SIZE": "1000"}),
        ("FROM:<a@b.example> size=0 body=8bitmime", {"SIZE": "0", "BODY": "8bitmime"}),
        ("FROM:<a@b.example>  BODY=7BIT ", {"BODY": "7BIT"}),
        ("FROM:<> SIZE=12", {"SIZE": "12"}),
        ("FROM:a@b.example SIZE=12", {"SIZE": "12"}),
        ('FROM:<"a> SIZE=1"@b.example> SIZE=2', {"SIZE": "2"}),
        ("FROM:<a@b.example> RET=hdrs", {"RET": "HDRS"}),
        ("FROM:<a@b.example> ret=FULL ENVID=QQ+2B1", {"RET": "FULL", "ENVID": "QQ+2B1"}),
        ("FROM:<list-@b.example-@[]> RET=HDRS", {"RET": "HDRS"}),
    ],
)
def test_parameters_of_mail(argument: str, parameters: dict[str, str]) -> None:
    assert parse_mail(argument).parameters == parameters


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "FROM",
        "FROM:",
        "TO:<a@b.example>",
        "<a@b.example>",
        "a@b.example",
        "FROM:<a@b.example",
        "FROM:a@b.example>",
        "FROM:<a>",
        "FROM:<a@>",
        "FROM:<a@b..example>",
        "FROM:<a b@c.example>",
        "FROM:< a@b.example>",
        "FROM:<a@b.example\r\nRCPT TO:<c@d.example>",
        "FROM:<a\x00@b.example>",
        'FROM:<"a@b.example>',
        'FROM:<"a\r\nb"@c.example>',
        "FROM:<caf\u00e9@b.example>",
        "FROM:<" + "a" * 65 + "@b.example>",
        "FROM:<a@" + ("b" * 50 + ".") * 5 + "example>",
        "FROM:<a@b.example> SIZE",
        "FROM:<a@b.example> SIZE=",
        "FROM:<a@b.example> SIZE=-1",
        "FROM:<a@b.example> SIZE=1e3",
        "FROM:<a@b.example> BODY=BINARYMIME",
        "FROM:<a@b.example> =1",
        "FROM:<a@b.example> a_b=1",
        "FROM:<a@b.example> SIZE=1 SIZE=1",
        "FROM:<a@b.example> RET=BODY",
        "FROM:<a@b.example> RET",
        "FROM:<a@b.example> ENVID=",
        "FROM:<a@b.example> ENVID=a=b",
        "FROM:<a@b.example> ENVID=" + "x" * 101,
        "FROM:<-@[]>",
        "FROM:<#@[]>",
        "FROM:<a@b-@[]-@[]>",
    ],
)
def test_bad_mail(argument: str) -> None:
    with pytest.raises(BadInput):
        parse_mail(argument)


@pytest.mark.parametrize("argument", ["FROM:<a@b.example> XFOO", "FROM:<> NOTIFY=NEVER"])
def test_parameter_that_was_not_offered(argument: str) -> None:
    with pytest.raises(UnknownParameter, match="is not offered"):
        parse_mail(argument)


@pytest.mark.parametrize("argument", ["FROM:<@b.example>", "FROM:<@b.example:>"])
def test_a_route_to_nowhere_is_not_the_null_sender(argument: str) -> None:
    with pytest.raises(BadInput):
        parse_mail(argument)


@pytest.mark.parametrize(
    ("argument", "parameters"),
    [
        ("TO:<@r.example:joe@example.org>", {}),
        ("to: joe@example.org", {}),
        ("TO:<joe@example.org> notify=never", {"NOTIFY": "NEVER"}),
        (
            "TO:<joe@example.org> NOTIFY=SUCCESS,delay ORCPT=rfc822;Joe+2BX@example.org",
            {"NOTIFY": "SUCCESS,DELAY", "ORCPT": "rfc822;Joe+2BX@example.org"},
        ),
    ],
)
def test_rcpt_takes_an_address_and_what_is_to_be_told(
    argument: str, parameters: dict[str, str]
) -> None:
    assert parse_rcpt(argument) == Path("joe@example.org", parameters)


@pytest.mark.parametrize("parameter", ["SIZE=1", "RET=HDRS", "ENVID=x"])
def test_rcpt_has_no_parameter_of_mail(parameter: str) -> None:
    with pytest.raises(UnknownParameter):
        parse_rcpt(f"TO:<joe@example.org> {parameter}")


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "TO:",
        "TO:<>",
        "TO: <>",
        "TO:<@r.example:>",
        "FROM:<a@b.example>",
        "TO:<a>",
        "TO:<a@b.example> NOTIFY=NEVER,DELAY",
        "TO:<a@b.example> ORCPT=joe",
        "TO:<a@b-@[]>",
    ],
)
def test_bad_rcpt(argument: str) -> None:
    with pytest.raises(BadInput):
        parse_rcpt(argument)


def test_postmaster_alone_is_a_recipient_and_no_sender() -> None:
    assert parse_rcpt("TO:<PostMaster> NOTIFY=NEVER") == Path("postmaster", {"NOTIFY": "NEVER"})
    with pytest.raises(BadInput, match="has no @"):
        parse_mail("FROM:<postmaster>")


ALPHABET = st.text(st.sampled_from('<>@:," \\\r\n\x00.=-aB1[]éＡ٣_'), max_size=40)


@given(st.sampled_from(["FROM:", "TO:", "FROM:<", "TO:<", "FROM:<a@b.c>", ""]), ALPHABET)
def test_any_text_is_a_path_or_bad_input(start: str, rest: str) -> None:
    for parse in (parse_mail, parse_rcpt):
        try:
            path = parse(start + rest)
        except BadInput as error:
            reply = str(error)
        else:
            reply = path.address
            assert path.address == "" or verp.parse_sender(path.address) == path.address
            assert path.address.isascii()
        assert reply.isprintable()  # one line, whatever was sent


@given(st.text(st.sampled_from([chr(n) for n in range(0x20, 0x7F)]), min_size=1, max_size=20))
def test_a_quoted_local_part_is_read_back(local: str) -> None:
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    path = parse_rcpt(f'TO:<"{escaped}"@example.org>')
    assert parse_address(path.address).local == local
