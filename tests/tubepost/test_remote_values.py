"""The settings of remote. Every setting of remote_values has its samples here."""

import pytest

from tubepost import remote_values
from tubepost.errors import BadInput
from tubepost.setting import Lines, Setting

SETTINGS = {s.name: s for s in vars(remote_values).values() if isinstance(s, Setting)}

TAKEN: dict[str, list[Lines]] = {
    "smtproutes": [(), (":smart.example:587",), ("a.example:", ".b.example:[2001:db8::1]:26")],
    "helohost": [("out.example.org",)],
    "timeoutconnect": [("1",), ("3600",)],
    "timeoutremote": [("1",), ("86400",)],
    "hostbackoff": [("0",), ("86400",)],
}
REFUSED: dict[str, list[Lines]] = {
    "smtproutes": [("example.org",), ("a.example:relay:0",)],
    "helohost": [("two words",), ("a.example", "b.example")],
    "timeoutconnect": [("0",), ("3601",), ("soon",)],
    "timeoutremote": [("0",), ("86401",)],
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
