"""Table 1 beside the architectures."""

from __future__ import annotations

import pytest

from modeling.config import STUDENT_DEPTHS, STUDENT_WIDTHS, named_config
from modeling.published_sizes import PUBLISHED_SIZES


def test_published_sizes_are_those_of_the_architectures() -> None:
    assert list(PUBLISHED_SIZES) == [f"{d}/{w}" for d in STUDENT_DEPTHS for w in STUDENT_WIDTHS]
    for size, published in PUBLISHED_SIZES.items():
        config = named_config(size)
        assert config
        exact = config.num_parameters(with_heads=True) / 1e6
        # Two cells of the paper are cut off, not rounded.
        wide = size.endswith("/768")
        assert exact == pytest.approx(published.millions, abs=0.1 if wide else 0.0501)


def test_deeper_and_wider_models_are_slower() -> None:
    for depth in STUDENT_DEPTHS:
        speeds = [PUBLISHED_SIZES[f"{depth}/{width}"].speedup for width in STUDENT_WIDTHS]
        assert speeds == sorted(speeds, reverse=True)
    for width in STUDENT_WIDTHS:
        speeds = [PUBLISHED_SIZES[f"{depth}/{width}"].speedup for depth in STUDENT_DEPTHS]
        assert speeds == sorted(speeds, reverse=True)
