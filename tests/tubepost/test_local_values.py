"""The settings of local. Every setting of local_values has its samples here."""

import pytest

from tubepost import local_values
from tubepost.errors import BadInput
from tubepost.setting import Lines, Setting

SETTINGS = {s.name: s for s in vars(local_values).values() if isinstance(s, Setting)}

TAKEN: dict[str, list[Lines]] = {
    "extensions": [("-",), ("+", "-"), ("- +",), ("none",)],
    "srsdomain": [("srs.example.org",)],
    "srssecret": [("x" * 16,), ("a secret of ours, long", "and the one before")],
    "quotawarning": [("0",), ("90",), ("100",)],
    "quotawarnmessage": [("Almost full: {percent} %.",), ("Fast voll.", "", "Grüße")],
}
REFUSED: dict[str, list[Lines]] = {
    "extensions": [(), (".",), ("both",)],
    "srsdomain": [(), ("a b",), ("a.example", "b.example")],
    "srssecret": [(), ("x" * 15,), ("x" * 16, "short"), ("é" * 16,), ("x" * 16,) * 11],
    "quotawarning": [(), ("101",), ("-1",), ("90 %",)],
    "quotawarnmessage": [(), ("",), (" ", ""), ("a\x1b[1m",), ("x" * 991,)],
}


def test_every_setting_has_its_samples() -> None:
    assert set(TAKEN) == set(REFUSED) == set(SETTINGS)


@pytest.mark.parametrize(("name", "lines"), [(n, lines) for n in TAKEN for lines in TAKEN[n]])
def test_taken(name: str, lines: Lines) -> None:
    SETTINGS[name].parse(lines)


@pytest.mark.parametrize(("name", "lines"), [(n, lines) for n in REFUSED for lines in REFUSED[n]])
def test_refused(name: str, lines: Lines) -> None:
    with pytest.raises(BadInput):
        SETTINGS[name].parse(lines)


def test_a_secret_that_is_refused_is_not_shown() -> None:
    with pytest.raises(BadInput) as refused:
        SETTINGS["srssecret"].parse(("too short",))
    assert "too short" not in str(refused.value)
