"""Threads that make the next item and put the last one away."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from common.overlap import in_background, prefetched


def test_next_item_is_made_while_one_is_in_use() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for i, event in enumerate(made):
            event.set()
            yield i

    found = []
    for item in prefetched(items()):
        if item + 1 < len(made):
            assert made[item + 1].wait(10)
        assert not any(event.is_set() for event in made[item + 2 :])  # One, and no more.
        found.append(item)
    assert found == [0, 1, 2, 3]
    assert list(prefetched([])) == []


def test_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("bad row")

    found = []
    with pytest.raises(ValueError, match="bad row"):
        found.extend(prefetched(items()))
    assert found == [1]


def test_calls_are_made_in_their_order_and_all_of_them() -> None:
    found: list[int] = []
    may_go = threading.Event()
    with in_background() as put:
        put(may_go.wait, 10)  # The block goes on while it waits.
        may_go.set()
        for i in range(5):
            put(found.append, i)
    assert found == [0, 1, 2, 3, 4]


def test_error_of_a_call_is_raised_and_no_other_hidden() -> None:
    found: list[int] = []
    with pytest.raises(ZeroDivisionError), in_background() as put:
        put(divmod, 1, 0)
    with pytest.raises(KeyError), in_background() as put:
        put(found.append, 1)
        raise KeyError
    assert found == [1]
