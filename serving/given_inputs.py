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
        lengths = np.array([len(inputs["input_ids"][row]) for row in rows])
        for row, length in zip(rows, lengths, strict=True):
            for name in names:
                values = np.asarray(inputs[name][row])
                if values.shape != (length,) or not 0 < length <= config.max_position_embeddings:
                    raise UserError(
                        f"{name} of input {row} has the shape {list(values.shape)}, expected as many "
                        f"numbers as in input_ids, from 1 to {config.max_position_embeddings}."
                    )
                if not np.logical_and(values >= 0, values < ends[name]).all():
                    raise UserError(
                        f"{name} of input {row} has numbers from {values.min()} to {values.max()}, "
                        f"expected 0 to {ends[name] - 1}."
                    )
        is_given = np.arange(lengths.max()) < lengths[:, np.newaxis]
        features = {name: np.zeros(is_given.shape, np.int32) for name in INPUTS}
        features["input_mask"][is_given] = 1
        for name in names:
            features[name][is_given] = np.concatenate([inputs[name][row] for row in rows])
        yield features
