"""Milliseconds and memory of an exported program on this machine, as a line of JSON.

python measure.py model_dynamic_int8.tflite --lengths 32 128 --threads 1
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

# Ids of the rows that are timed; every vocabulary has as many.
_NUM_IDS = 50
_WARM_UP, _MIN_CALLS, _MAX_CALLS = 3, 5, 1000


def measure(
    path: str, lengths: list[int], threads: int | None, batch_sizes: list[int], seconds: float
) -> dict[str, Any]:
    """Loads a program and times it.

    Args:
      path: As for `programs.open_program`.
      lengths: Tokens per row.
      threads: As for `programs.open_program`.
      batch_sizes: Rows per call.
      seconds: Time for each length and batch size.

    Returns:
      `load_ms`, `peak_mb` of this process in millions of bytes, and `times`: for each length and
      batch size the median and the 95th percentile of a call in milliseconds.
    """
    start = time.perf_counter()
    from programs import open_program

    program = open_program(path, threads)
    load_ms = 1000 * (time.perf_counter() - start)
    times = []
    for length in lengths:
        for batch_size in batch_sizes:
            ids = np.tile(np.arange(length, dtype=np.int32) % _NUM_IDS, (batch_size, 1))
            mask, segments = np.ones_like(ids), np.zeros_like(ids)
            found = _times(functools.partial(program, ids, mask, segments), seconds)
            times.append(
                {
                    "length": length,
                    "batch_size": batch_size,
                    "median_ms": statistics.median(found),
                    "p95_ms": found[min(len(found) - 1, int(0.95 * len(found)))],
                    "calls": len(found),
                }
            )
    return {"load_ms": load_ms, "peak_mb": peak_megabytes(), "times": times}


def _times(call: Callable[[], Any], seconds: float) -> list[float]:
    """Milliseconds of calls, sorted."""
    for _ in range(_WARM_UP):
        call()
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < _MIN_CALLS or (time.perf_counter() < end and len(found) < _MAX_CALLS):
        start = time.perf_counter()
        call()
        found.append(1000 * (time.perf_counter() - start))
    return sorted(found)


def peak_megabytes() -> float | None:
    """The most memory that this process has had, in millions of bytes; None if it is no Linux."""
    if not os.path.exists("/proc/self/status"):
        return None
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6  # The kernel's kB are of 1024 bytes.


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", help="a .tflite or .onnx file, or the folder of a SavedModel")
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, help="by default all cores")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    given = parser.parse_args()
    result = measure(given.path, given.lengths, given.threads, given.batch_sizes, given.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
