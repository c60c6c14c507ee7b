"""Work in a second thread: making the next item, or storing results, while the main one computes.

This saves time where a thread releases Python's lock: in TensorFlow, other runtimes, and files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()


def prefetched(items: Iterable[Item]) -> Iterator[Item]:
    """The items, of which the next is made in a thread while one is in use.

    Raises:
      Exception: Whatever making an item raises, in its place.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, iterator, _END)
            yield item


@contextlib.contextmanager
def in_background() -> Iterator[Callable[..., None]]:
    """A function that has calls (a function and its arguments) made in a thread, in their order.

    A call waits for the one before it to end, and the end of the block for the last.

    Raises:
      Exception: Whatever a call raises, at the next one or at the end.
    """
    waiting: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as pool:

        def submit(function: Callable[..., Any], *args: Any) -> None:
            if waiting:
                waiting.pop().result()
            waiting.append(pool.submit(function, *args))

        yield submit
        if waiting:
            waiting.pop().result()
