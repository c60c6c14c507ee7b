"""Chunks of what is read one at a time, so that memory does not grow with its length."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def chunks(
    items: Iterable[Item], limit: int, size: Callable[[Item], int] | None = None
) -> Iterator[list[Item]]:
    """Consecutive items, `limit` at a time; the last chunk may be smaller.

    Args:
      items: Read no further than for the chunk that is asked for.
      limit: Items of a chunk or, with `size`, the sum of their sizes that ends it.
      size: Size of an item.
    """
    iterator = iter(items)
    if size is None:
        while chunk := list(itertools.islice(iterator, limit)):
            yield chunk
        return
    chunk, total = [], 0
    for item in iterator:
        chunk.append(item)
        total += size(item)
        if total >= limit:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk
