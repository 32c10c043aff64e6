# ruff: noqa: INP001 - a script beside the pages it writes, not a package
"""Writes the tables of docs/configuration.md from the code: `python -m docs.generate`.

It reads the Settings classes of the services and the table of control settings, and replaces what
stands between the two markers of the page. tests/docs fails when the page is not what this makes.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tubepost.control_values import SETTINGS
from tubepost.settings import CommonSettings

PAGE = Path(__file__).with_name("configuration.md")
BEGIN = "<!-- begin: made by python -m docs.generate -->\n"
END = "<!-- end -->\n"

SERVICES = ("smtpd", "scheduler", "remote", "local", "popauth")

FACTORIES: Mapping[str, str] = {"gethostname": "the machine's host name"}
"""How a default that is worked out at the start is called in the tables."""


def page(old: str) -> str:
    """The page with its tables as the code has them now."""
    head, _, rest = old.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + tables() + END + tail


def tables() -> str:
    """Everything between the markers."""
    parts = ["\n## All services\n\n", _table(_settings_rows(CommonSettings, without=()))]
    common = tuple(CommonSettings.model_fields)
    for service in SERVICES:
        settings = importlib.import_module(f"services.{service}.settings").Settings
        parts += [f"\n## {service}\n\n", _table(_settings_rows(settings, without=common))]
    parts += ["\n## Control settings\n\n", _table(_control_rows()), "\n"]
    return "".join(parts)


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(_cell(text) for text in row)} |\n" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _settings_rows(
    settings: type[CommonSettings], without: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    yield "variable", "default", "range", "meaning"
    yield ("---",) * 4
    for name, field in settings.model_fields.items():
        if name not in without:
            variable = f"`TUBEPOST_{name.upper()}`"
            yield variable, _field_default(field), _range(field), field.description or ""


def _field_default(field: FieldInfo) -> str:
    factory: Callable[..., Any] | None = field.default_factory
    if factory is not None:
        return FACTORIES[factory.__name__]
    default = field.default
    return _shown(default.get_secret_value() if isinstance(default, SecretStr) else default)


def _range(field: FieldInfo) -> str:
    signs = {"ge": ">= ", "gt": "> ", "le": "<= "}
    bounds = (
        f"{sign}{getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if hasattr(rule, name)
    )
    return ", ".join(bounds)


def _control_rows() -> Iterator[tuple[str, ...]]:
    yield "setting", "default", "acted on by", "meaning"
    yield ("---",) * 4
    for name in sorted(SETTINGS):
        setting = SETTINGS[name]
        yield f"`{name}`", _shown(setting.default), setting.reader, setting.help


def _shown(default: object) -> str:
    """A default as an operator would write it; what is empty, whatever its type, is `none`."""
    if isinstance(default, str | int | float | Path) and str(default):
        return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return "none"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    sys.stdout.write(f"{PAGE} is up to date\n")
