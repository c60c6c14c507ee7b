"""Inputs of a `Predictor` as a program gives them: texts, pairs of texts or ids, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.chunks import chunks
from common.errors import UserError
from modeling.bert import INPUTS
from modeling.config import BertConfig
from training.engine import WINDOW_ROWS


def checked_texts(inputs: Sequence[str | tuple[str, str]]) -> Iterator[tuple[str, str | None]]:
    """(first text, second text or None) of each."""
    if isinstance(inputs, str):
        raise UserError(f"found one text ({inputs!r:.40}), expected a list of texts; put it in [].")
    for i, value in enumerate(inputs):
        if isinstance(value, str):
            yield value, None
        elif isinstance(value, (tuple, list)) and list(map(type, value)) == [str, str]:
            yield value[0], value[1]
        else:
            raise UserError(
                f"input {i} is {value!r:.40}, expected a text, or a pair of texts as a tuple."
            )


def windows_of_ids(
    inputs: Mapping[str, Any], config: BertConfig
) -> Iterator[dict[str, np.ndarray]]:
    """Rows of ids, padded to the longest row of each window."""
    unknown = set(inputs) - set(INPUTS)
    if unknown or "input_ids" not in inputs:
        raise UserError(
            f"found {', '.join(sorted(inputs)) or 'nothing'}, expected input_ids, and perhaps "
            "input_mask and segment_ids."
        )
    names = [name for name in INPUTS if name in inputs]
    for name in names:
        if len(inputs[name]) != len(inputs["input_ids"]):
            raise UserError(
                f"{name} has {len(inputs[name])} rows, input_ids {len(inputs['input_ids'])}; both "
                "must have as many."
            )
    ends = {
        "input_ids": config.vocab_size,
        "input_mask": 2,
        "segment_ids": config.type_vocab_size,
    }
    for rows in chunks(range(len(inputs["input_ids"])), WINDOW_ROWS):
        given = {name: [_array(inputs[name][row]) for row in rows] for name in names}
        for i, row in enumerate(rows):
            for name in names:
                _check_row(given[name][i], given["input_ids"][i], name, row, ends[name], config)
        lengths = np.array([len(values) for values in given["input_ids"]])
        is_given = np.arange(lengths.max()) < lengths[:, np.newaxis]
        features = {name: np.zeros(is_given.shape, np.int32) for name in INPUTS}
        features["input_mask"][is_given] = 1
        for name in names:
            features[name][is_given] = np.concatenate(given[name])
        yield features


def _array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:  # Lists of several lengths, which are no row.
        return np.asarray(None)


def _check_row(
    values: np.ndarray, ids: np.ndarray, name: str, row: int, end: int, config: BertConfig
) -> None:
    """Raises a UserError unless they are as many whole numbers as `ids`, from 0 to below `end`."""
    longest = config.max_position_embeddings
    if values.shape != ids.shape or ids.ndim != 1 or not 0 < len(ids) <= longest:
        raise UserError(
            f"{name} of input {row} has the shape {list(values.shape)}, expected as many numbers as "
            f"in input_ids, from 1 to {longest}."
        )
    # A mask may be one of no and yes.
    if values.dtype.kind not in ("iub" if name == "input_mask" else "iu"):
        raise UserError(
            f"{name} of input {row} has values of the type {values.dtype}, expected whole numbers."
        )
    if not np.logical_and(values >= 0, values < end).all():
        raise UserError(
            f"{name} of input {row} has numbers from {values.min()} to {values.max()}, expected 0 to "
            f"{end - 1}."
        )
