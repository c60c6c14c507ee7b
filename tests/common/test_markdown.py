"""Tables in Markdown."""

from __future__ import annotations

from common.markdown import table


def test_table() -> None:
    rows = (cells for cells in (["1", "**2**"], ["", "4"]))
    assert table(["a", "b"], rows) == ["| a | b |", "|---|---|", "| 1 | **2** |", "|  | 4 |"]


def test_table_without_rows() -> None:
    assert table(["a"], []) == ["| a |", "|---|"]
