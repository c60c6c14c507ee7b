"""Chunks of items."""

from __future__ import annotations

import pytest

from common.chunks import chunks


@pytest.mark.parametrize(
    ("items", "limit", "expected"),
    [("", 2, []), ("abcd", 2, ["ab", "cd"]), ("abc", 2, ["ab", "c"])],
)
def test_items_of_equal_size(items: str, limit: int, expected: list[str]) -> None:
    assert ["".join(chunk) for chunk in chunks(items, limit)] == expected


def test_items_by_size() -> None:
    items = ["a", "bb", "ccccc", "d"]
    assert list(chunks(items, 3, len)) == [["a", "bb"], ["ccccc"], ["d"]]


def test_no_item_is_read_early() -> None:
    items = iter("abcd")
    assert next(chunks(items, 2)) == ["a", "b"]
    assert next(items) == "c"
