"""Stops training on SIGTERM, the signal of preemption: finish the step, save, exit."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

# What a shell reports of a process that a signal has ended.
EXIT_TERMINATED = 128 + signal.SIGTERM


@contextlib.contextmanager
def sigterm_noted() -> Iterator[Callable[[], bool]]:
    """Context in which SIGTERM ends nothing, but makes the yielded function return True."""
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append(True))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, before)
