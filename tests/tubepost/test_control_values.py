"""Each control file: what is taken, what is refused, and its default."""

import pytest

from tubepost import control_values as values
from tubepost import local_values, remote_values, smtp_values
from tubepost.errors import BadInput, NotFound
from tubepost.setting import Setting

HOST_SETTINGS = ["me", "helohost", "bouncehost", "doublebouncehost"]
MAILBOXES = ["bouncefrom", "doublebounceto"]
NUMBERS = {
    "timeoutconnect": (1, 3600, 60),
    "timeoutremote": (1, 86_400, 1200),
    "connectionidle": (0, 300, 5),
    "connectionlife": (1, 86_400, 300),
    "connectionmails": (1, 100_000, 100),
    "suppress": (0, 31_536_000, 0),
    "hostbackoff": (0, 86_400, 3600),
    "queuelifetime": (0, 31_536_000, 604_800),
    "retryjitter": (0, 4, 4),
    "concurrencylocal": (0, 10_000, 100),
    "concurrencyremote": (0, 10_000, 200),
    "bouncemaxbytes": (0, 2**40, 50_000),
    "delaywarning": (0, 31_536_000, 0),
}
WORDS = ["retryschedule"]
LISTS = ["smtproutes", "destinations", "replykinds"]

OF_SMTP = [s for s in vars(smtp_values).values() if isinstance(s, Setting)]
OF_REMOTE = [s for s in vars(remote_values).values() if isinstance(s, Setting)]
OF_LOCAL = [s for s in vars(local_values).values() if isinstance(s, Setting)]


def parsed(name: str, *lines: str) -> object:
    return values.setting(name).parse(lines)


def refused(name: str, *lines: str) -> None:
    with pytest.raises(BadInput):
        parsed(name, *lines)


def test_the_groups_here_name_every_setting() -> None:
    """Those of smtp_values are in test_smtp_values, and so on."""
    elsewhere = {s.name for s in (*OF_SMTP, *OF_REMOTE, *OF_LOCAL)}
    named = {*HOST_SETTINGS, *MAILBOXES, *NUMBERS, *LISTS, *WORDS}
    assert named | elsewhere == set(values.SETTINGS)


def test_every_setting_says_what_it_is() -> None:
    for name, setting in values.SETTINGS.items():
        assert setting.name == name
        assert setting.help.endswith(".")
        assert setting.reader


def test_an_unknown_setting_names_those_that_are_like_it() -> None:
    with pytest.raises(NotFound, match="queuelifetime"):
        values.setting("queuelifetme")


@pytest.mark.parametrize("name", HOST_SETTINGS)
def test_a_host_name(name: str) -> None:
    assert values.setting(name).default is None
    assert parsed(name, "MX.Example.Org") == "mx.example.org"
    assert parsed(name, " mx.example.org. ") == "mx.example.org"
    for bad in ("a b", "-x", "x..y", "", "mx\r\nx"):
        refused(name, bad)
    refused(name)
    refused(name, "a.b", "c.d")


@pytest.mark.parametrize("name", MAILBOXES)
def test_a_mailbox(name: str) -> None:
    assert parsed(name, "postmaster") == "postmaster"
    assert parsed(name, "Joe.Doe@Example.ORG") == "Joe.Doe@example.org"
    for bad in ("a b", "@x.y", "joe@", "joe@x y", "j\u00f6e", ""):
        refused(name, bad)


def test_a_mailbox_in_quotes_keeps_them() -> None:
    assert parsed("bouncefrom", '"mail system"') == '"mail system"'


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number(name: str) -> None:
    low, high, default = NUMBERS[name]
    assert values.setting(name).default == default
    assert parsed(name, str(low)) == low
    assert parsed(name, f" {high} ") == high
    for bad in (str(low - 1), str(high + 1), "1.5", "", "x", "1 2", "+5", "1_000", "\u0663"):
        refused(name, bad)
    refused(name)
    refused(name, "5", "6")


def test_smtproutes_are_read_by_their_own_module() -> None:
    assert set(remote_values.SMTPROUTES.parse((":relay.example.org:25",))) == {""}
    refused("smtproutes", "nonsense")
