"""Times of functions called in turn, so that a busy moment of the machine hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def interleaved_medians(
    functions: Sequence[Callable[[], object]], repetitions: int, warm_up: int = 3
) -> list[float]:
    """Median seconds of each function.

    Args:
      functions: Called one after the other, in every round.
      repetitions: Rounds that count.
      warm_up: Rounds before them.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for repetition in range(warm_up + repetitions):
        for function, measured in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            if repetition >= warm_up:
                measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in seconds]
