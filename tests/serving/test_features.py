"""Layers by number, and the forms of the output; values are in tests/test_extract_features.py."""

from __future__ import annotations

import pytest

from common.errors import UserError
from serving.features import FeatureOptions, parse_layers, run


@pytest.mark.parametrize(
    ("texts", "depth", "layers"),
    [
        (None, 12, [-1, -2, -3, -4]),
        (None, 2, [-1, -2]),
        (["0", "-1", "11"], 12, [0, -1, 11]),
        (["-12"], 12, [-12]),
    ],
)
def test_layers(texts: list[str] | None, depth: int, layers: list[int]) -> None:
    assert parse_layers(texts, depth) == layers


@pytest.mark.parametrize("texts", [[], ["12"], ["-13"], ["1.0"], ["last"], ["1", ""]])
def test_layers_that_the_model_lacks(texts: list[str]) -> None:
    with pytest.raises(UserError, match="expected numbers from 0 to 11, or from -1, .*, to -12"):
        parse_layers(texts, 12)


def test_vectors_of_every_token_are_no_array() -> None:
    with pytest.raises(UserError, match="--output_file=a.npy holds one vector a line, .*--pooling"):
        run(FeatureOptions(input_file="none.txt", output_file="a.npy"))
