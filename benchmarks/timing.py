"""Times of functions called in turn, and of the operations within one."""

from __future__ import annotations

import collections
import glob
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

# They only call others, whose time is counted.
_CALLS = {
    "PartitionedCall",
    "StatefulPartitionedCall",
    "While",
    "StatelessWhile",
    "If",
    "StatelessIf",
    "IteratorGetNext",
    "OneDeviceIterator",
}


# Loops that XLA has compiled; those that it spreads over threads are run by a "call".
_COMPILED_LOOP = re.compile(r"call(\.\d+)?|\w*fusion(\.\d+)?")


def interleaved_medians(
    functions: Sequence[Callable[[], object]], repetitions: int, warm_up: int = 3
) -> list[float]:
    """Median seconds of each function; a busy moment of the machine hits all of them.

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


def operation_times(work: Callable[[], object]) -> collections.Counter[str]:
    """Milliseconds in each kind of operation, from the profiler of TensorFlow.

    Args:
      work: Calls to profile, of TensorFlow functions that are compiled already.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        work()
        tf.profiler.experimental.stop()
        (path,) = glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)
        space = xplane_pb2.XSpace()
        with open(path, "rb") as file:
            space.ParseFromString(file.read())
    times: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        if "CPU" not in plane.name:
            continue
        for line in plane.lines:
            for event in line.events:
                # An operation is an event called name:Kind; C++ functions have two colons.
                event_name = plane.event_metadata[event.metadata_id].name
                name, _, kind = event_name.rpartition(":")
                if _COMPILED_LOOP.fullmatch(event_name):
                    times["loops compiled by XLA"] += event.duration_ps / 1e9
                elif name and not name.endswith(":") and kind.isidentifier() and kind not in _CALLS:
                    times[kind] += event.duration_ps / 1e9
    return times
