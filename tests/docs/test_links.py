"""Every relative link in a page leads somewhere, the part after `#` included."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import FENCED, ROOT, pages, without_code

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _anchors(page: Path) -> set[str]:
    """As the usual viewers make them: lower case, blanks become dashes, signs fall out."""
    inside = FENCED.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", inside, flags=re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.replace(" ", "-") for text in plain}


def _links(page: Path) -> list[str]:
    found = LINK.findall(without_code(page.read_text()))
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_there_are_links_to_check() -> None:
    assert sum(len(_links(page)) for page in pages()) > 50


def test_every_page_of_the_documentation_can_be_reached_from_the_first_one() -> None:
    seen, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        ahead += [(page.parent / link.partition("#")[0]).resolve() for link in _links(page)]
    assert [str(p.relative_to(ROOT)) for p in pages() if p not in seen] == []
