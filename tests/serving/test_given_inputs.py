"""Texts and ids as a program gives them, checked and padded."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from models import ODD_CONFIG

from common.errors import UserError
from serving import given_inputs
from serving.given_inputs import checked_texts, windows_of_ids

CONFIG = dataclasses.replace(ODD_CONFIG, type_vocab_size=2)  # 99 words, 17 positions.


def test_texts_and_pairs() -> None:
    found = list(checked_texts(["a", ("b", "c"), "", ("", "d")]))
    assert found == [("a", None), ("b", "c"), ("", None), ("", "d")]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("one text", "found one text .*, expected a list of texts"),
        (["a", 3], "input 1 is 3, expected a text"),
        (["a", ("b", "c", "d")], "input 1 is .* expected a text, or a pair"),
        ([("b", None)], "input 0 is .*, expected a text, or a pair"),
    ],
)
def test_what_is_no_text(inputs: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(checked_texts(inputs))


def test_rows_are_padded_to_the_longest_of_their_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_inputs, "WINDOW_ROWS", 2)
    inputs = {"input_ids": [[5, 6], [7, 8, 9], [1]], "segment_ids": [[0, 1], [0, 0, 1], [1]]}
    first, second = windows_of_ids(inputs, CONFIG)
    assert {name: value.tolist() for name, value in first.items()} == {
        "input_ids": [[5, 6, 0], [7, 8, 9]],
        "input_mask": [[1, 1, 0], [1, 1, 1]],
        "segment_ids": [[0, 1, 0], [0, 0, 1]],
    }
    assert {name: value.tolist() for name, value in second.items()} == {
        "input_ids": [[1]],
        "input_mask": [[1]],
        "segment_ids": [[1]],
    }
    assert {value.dtype for value in first.values()} == {np.dtype(np.int32)}


def test_a_mask_that_is_given_counts() -> None:
    for kind in (np.int64, np.uint8, bool):
        mask = np.array([[1, 0, 1]], kind)
        inputs = {"input_ids": np.array([[5, 6, 7]]), "input_mask": mask}
        (window,) = windows_of_ids(inputs, CONFIG)
        assert window["input_mask"].tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "found nothing, expected input_ids"),
        ({"input_ids": [[1]], "ids": [[1]]}, "found ids, input_ids, expected input_ids"),
        ({"input_mask": [[1]]}, "found input_mask, expected input_ids"),
        ({"input_ids": [[1], [2]], "segment_ids": [[0]]}, "segment_ids has 1 rows, input_ids 2"),
        ({"input_ids": [[1], []]}, r"input_ids of input 1 has the shape \[0\]"),
        ({"input_ids": [[1] * 18]}, r"has the shape \[18\], .* from 1 to 17"),
        (
            {"input_ids": [[1, 2]], "input_mask": [[1]]},
            r"input_mask of input 0 has the shape \[1\]",
        ),
        ({"input_ids": [5, 6]}, r"input_ids of input 0 has the shape \[\]"),
        ({"input_ids": [[[1], [2, 3]]]}, r"input_ids of input 0 has the shape \[\]"),
        (
            {"input_ids": [[2, 3.7]]},
            "input_ids of input 0 has values of the type float64, expected",
        ),
        ({"input_ids": np.array([[2.0, 3.0]], np.float32)}, "values of the type float32"),
        ({"input_ids": [["2", "3"]]}, "has values of the type <U1, expected whole numbers"),
        ({"input_ids": [[2]], "segment_ids": [[True]]}, "segment_ids .* of the type bool"),
        ({"input_ids": [[2, 3]], "input_mask": [[0.5, 1.0]]}, "input_mask .* of the type float64"),
        ({"input_ids": [[0, 99]]}, "has numbers from 0 to 99, expected 0 to 98"),
        ({"input_ids": [[-1]]}, "has numbers from -1 to -1"),
        ({"input_ids": [[1]], "segment_ids": [[2]]}, "expected 0 to 1"),
    ],
)
def test_what_are_no_ids(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(windows_of_ids(inputs, CONFIG))
