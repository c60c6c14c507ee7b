"""Work in batches; PyTorch is not needed."""

from __future__ import annotations

from benchmarks.peers.hugging_face import repeated


def test_units_of_all_batches() -> None:
    units = iter(range(100))
    work = repeated(lambda: next(units), 3)
    assert work() == 3 + 4 + 5  # 0 to 2 were the warm-up.
