"""README and docs: their links lead somewhere, and their commands are ones that the scripts know."""

from __future__ import annotations

import pathlib
import re

import pytest
from scripts import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# [text](target) and ![text](target).
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def page_name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The names that GitHub and MkDocs give to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: pathlib.Path) -> list[str]:
    broken = []
    for target in LINK.findall(prose(path.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links(page: pathlib.Path) -> None:
    assert broken_links(page) == []


def test_links_that_lead_nowhere_are_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.md").write_text("## Two words, a comma\n\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[x](b.md) [x](b.md#two-words-a-comma) [x](https://c/d.md)\n"
        "[x](c.md) [x](b.md#no-heading) ![x](d.png) [x](#here)\n"
    )
    assert broken_links(page) == ["c.md", "b.md#no-heading", "d.png", "#here"]


def test_site_has_every_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


def test_readme_is_one_page() -> None:
    assert (ROOT / "README.md").read_text().count("\n") <= 200
