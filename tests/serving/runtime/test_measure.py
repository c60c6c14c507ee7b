"""The measurement of a program that takes a known time."""

from __future__ import annotations

import resource
import sys
import types

import numpy as np
import pytest

from serving.runtime import measure as measuring
from serving.runtime.measure import measure, peak_megabytes


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the ids that the program is called with; a call takes 10 ms, every fifth 50."""
    seen: list[tuple[int, ...]] = []
    clock = types.SimpleNamespace(now=0.0)

    def program(ids: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> None:
        assert mask.all() and not segments.any() and ids.max() < 50
        clock.now += 0.05 if len(seen) % 5 == 0 else 0.01
        seen.append(ids.shape)

    def open_program(path: str, threads: int | None) -> object:
        assert (path, threads) == ("model.tflite", 2)
        clock.now += 3.0
        return program

    programs = types.SimpleNamespace(open_program=open_program)
    monkeypatch.setitem(sys.modules, "programs", programs)
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock.now)
    return seen


def test_figures(calls: list[tuple[int, ...]]) -> None:
    found = measure("model.tflite", [32, 128], 2, [1, 4], seconds=1.8)
    assert found["load_ms"] == pytest.approx(3000)
    times = found["times"]
    assert [(t["length"], t["batch_size"]) for t in times] == [(32, 1), (32, 4), (128, 1), (128, 4)]
    for time in times:
        assert time["median_ms"] == pytest.approx(10)
        assert time["p95_ms"] == pytest.approx(50)
        assert 95 <= time["calls"] <= 105
    # Those that warm up do not count.
    assert len(calls) == sum(time["calls"] for time in times) + 4 * 3
    assert list(dict.fromkeys(calls)) == [(1, 32), (4, 32), (1, 128), (4, 128)]


def test_slow_programs_are_called_a_few_times(calls: list[tuple[int, ...]]) -> None:
    (time,) = measure("model.tflite", [32], 2, [1], seconds=0.0)["times"]
    assert time["calls"] == 5 and len(calls) == 8


def test_memory_of_this_process() -> None:
    """As the system call tells it, in units of 1,024 bytes."""
    found = peak_megabytes()
    if found is None:
        pytest.skip("the system does not tell")
    expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    assert found == pytest.approx(expected, rel=0.01)
