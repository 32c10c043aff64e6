"""The settings of remote. Every setting of remote_values has its samples here."""

import pytest

from tubepost import remote_values
from tubepost.errors import BadInput
from tubepost.setting import Lines, Setting

SETTINGS = {s.name: s for s in vars(remote_values).values() if isinstance(s, Setting)}

TAKEN: dict[str, list[Lines]] = {
    "smtproutes": [(), (":smart.example:587",), ("a.example:", ".b.example:[2001:db8::1]:26")],
    "mxnames": [(), ("mx1.example.org", ".in.example.org")],
    "ipfamilies": [("4",), ("6 4",), ("6", "4")],
    "outgoingip": [(), ("192.0.2.1",), ("2001:db8::1", "192.0.2.1")],
    "tlspolicy": [
        (),
        (":encrypt",),
        ("a.example:none", ".b.example:MAY", "c.example:verify"),
        ("a.example:verify:mx.a.example,.a.example, 192.0.2.1,2001:db8::1", ""),
    ],
    "helohost": [("out.example.org",)],
    "eightbit": [("convert",), ("send",)],
    "timeoutconnect": [("1",), ("3600",)],
    "timeoutremote": [("1",), ("86400",)],
    "connectionidle": [("0",), ("300",)],
    "connectionlife": [("1",), ("86400",)],
    "connectionmails": [("1",), ("100000",)],
    "suppress": [("0",), ("31536000",)],
    "replykinds": [(), ("spam:^550 5\\.7\\.1 .*contains", "held_back:needs (approval|review)")],
    "hostbackoff": [("0",), ("86400",)],
}
REFUSED: dict[str, list[Lines]] = {
    "smtproutes": [("example.org",), ("a.example:relay:0",)],
    "mxnames": [("a..b",), ("192.0.2.1/24",)],
    "ipfamilies": [(), ("5",), ("both",)],
    "outgoingip": [("192.0.2.1", "192.0.2.2"), ("here",)],
    "tlspolicy": [
        ("example.org",),
        ("example.org:always",),
        ("example.org:may:mx.example.org",),
        ("example.org:verify:",),
        ("example.org:verify:mx example",),
        ("example.org:may", "EXAMPLE.org:none"),
    ],
    "helohost": [("two words",), ("a.example", "b.example")],
    "eightbit": [(), ("bounce",)],
    "timeoutconnect": [("0",), ("3601",), ("soon",)],
    "timeoutremote": [("0",), ("86401",)],
    "connectionidle": [("-1",), ("301",)],
    "connectionlife": [("0",), ("86401",)],
    "connectionmails": [("0",), ("100001",)],
    "suppress": [("-1",), ("31536001",), ("a week",)],
    "replykinds": [("spam",), ("Spam:x",), ("spam:(",), ("spam:(a+)+",)],
    "hostbackoff": [("86401",), ("-1",), ("long",)],
}


def test_every_setting_has_its_samples() -> None:
    assert set(TAKEN) == set(REFUSED) == set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_taken_and_what_is_not(name: str) -> None:
    for lines in TAKEN[name]:
        SETTINGS[name].parse(lines)
    for lines in REFUSED[name]:
        with pytest.raises(BadInput):
            SETTINGS[name].parse(lines)
