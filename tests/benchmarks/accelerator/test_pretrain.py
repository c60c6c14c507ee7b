"""Updates that fit into the time."""

from __future__ import annotations

import pathlib
import time
import types
from typing import Any

import pytest

pytest.importorskip("jax", reason="no JAX: pip install -r requirements-tpu.lock")


@pytest.mark.parametrize(
    ("seconds", "left", "most", "updates"),
    [
        # 92 of 100 seconds, at half a second for an update of both models.
        ([0.2, 0.3], 100.0, None, 180),
        ([0.2, 0.3], 100.0, 45, 40),
        ([0.2, 0.3], -1.0, None, 0),
        ([30.0], 100.0, None, 0),
    ],
)
def test_whole_calls(
    monkeypatch: pytest.MonkeyPatch,
    seconds: list[float],
    left: float,
    most: int | None,
    updates: int,
) -> None:
    from benchmarks.accelerator import pretrain

    options: Any = types.SimpleNamespace(max_updates=most, updates_per_call=20)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    assert pretrain.affordable_updates(seconds, 1000.0 + left, options) == updates


def test_curves_of_a_repeated_run(tmp_path: pathlib.Path) -> None:
    from benchmarks.accelerator import pretrain

    pretrain.forget_curves(str(tmp_path), ["tiny"])
    path = tmp_path / "curves.jsonl"
    path.write_text("".join(f'{{"model": "{name}"}}\n' for name in ("tiny", "mini", "tiny")))
    pretrain.forget_curves(str(tmp_path), ["tiny", "small"])
    assert path.read_text() == '{"model": "mini"}\n'
