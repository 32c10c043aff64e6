"""docs/configuration.md is what its generator makes."""

from docs.generate import PAGE, SERVICES, page
from tests.docs.pages import ROOT, text
from tubepost.control_values import SETTINGS


def test_the_page_is_up_to_date() -> None:
    committed = PAGE.read_text()
    assert committed == page(committed), "run: python -m docs.generate"


def test_every_service_and_control_setting_is_in_it() -> None:
    page_ = text("docs/configuration.md")
    assert sorted(SERVICES) == sorted(p.parent.name for p in ROOT.glob("services/*/settings.py"))
    assert [name for name in SETTINGS if f"| `{name}` |" not in page_] == []
