"""Arrows of imports point from the top of the table in docs/design.md to its bottom."""

from __future__ import annotations

import re

import pytest
from imports import ROOMS, SCRIPTS, circle, module_imports, picture, room_imports
from scripts import ROOT

DESIGN = (ROOT / "docs" / "design.md").read_text()
IMPORTS = module_imports()


def floors() -> list[list[str]]:
    """The rooms of each row of the table of folders, from top to bottom."""
    table = DESIGN.split("| Folder | Holds |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [re.findall(r"`(\w+)/`", line.split("|")[1]) for line in table.splitlines()]
    return [[SCRIPTS], *(rooms for row in rows if (rooms := [r for r in row if r in ROOMS]))]


def test_every_room_is_in_the_table() -> None:
    assert sorted(room for rooms in floors()[1:] for room in rooms) == ROOMS


@pytest.mark.parametrize("room", [SCRIPTS, *ROOMS])
def test_no_arrow_points_upward_or_aside(room: str) -> None:
    height = {name: -floor for floor, rooms in enumerate(floors()) for name in rooms}
    upward = {other for other in room_imports(IMPORTS)[room] if height[other] >= height[room]}
    assert upward == set()


def test_modules_import_each_other_in_no_circle() -> None:
    assert circle(IMPORTS) == []


def test_picture_of_the_design_page_is_true() -> None:
    """`python tests/imports.py` prints it."""
    assert picture(room_imports(IMPORTS)) in DESIGN


def test_imports_are_seen() -> None:
    """These tests can fail."""
    assert "classification" in room_imports(IMPORTS)["distillation"]
    assert "training.cli" in IMPORTS["run_classifier"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})
    assert picture({"a": {"b", "c"}, "b": {"c"}, "c": set()}).count("-->") == 2
