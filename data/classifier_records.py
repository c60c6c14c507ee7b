"""Examples of a classifier as TFRecords, feature for feature those of google-research/bert.

Source: `convert_single_example`, `_truncate_seq_pair` and `file_based_convert_examples_to_features`
in `run_classifier.py`. With S = max_seq_length, every record holds

    input_ids, input_mask, segment_ids  int64 [S]  [CLS] a [SEP] or [CLS] a [SEP] b [SEP], zeros
    label_ids                           int64 []   position in the label list, 0 without a label;
                                        float32 [] the score, in regression tasks
    is_real_example                     int64 []   1; rows that only fill up a batch have 0
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from common.chunks import chunks
from common.errors import UserError
from data.sidecars import write_sidecar
from data.tfrecords import RecordWriter, serialize_examples
from modeling.tokenization import FullTokenizer
from modeling.wordpiece import input_row

if TYPE_CHECKING:
    import tensorflow as tf

# Rows that are tokenized and held in memory at a time.
_CHUNK_ROWS = 2000


def num_outputs(labels: Sequence[str]) -> int:
    """Number of outputs of a model: one for each label, or 1 for a regression, without labels."""
    return len(labels) or 1


def feature_spec(
    max_seq_length: int, is_regression: bool = False
) -> dict[str, tf.io.FixedLenFeature]:
    """Features of a classifier record, for `tf.io.parse_example`."""
    import tensorflow as tf

    sequence = tf.io.FixedLenFeature([max_seq_length], tf.int64)
    scalar = tf.io.FixedLenFeature([], tf.int64)
    return {
        "input_ids": sequence,
        "input_mask": sequence,
        "segment_ids": sequence,
        "label_ids": tf.io.FixedLenFeature([], tf.float32) if is_regression else scalar,
        "is_real_example": scalar,
    }


@dataclasses.dataclass(frozen=True)
class Example:
    """A text or a pair of texts to classify.

    Attributes:
      example_id: `<split>-<row>` as in the original: the row counts from 0 and counts the header.
      source: File and line, for messages.
      text_a: The first text.
      text_b: The second text, None if there is one text only.
      label: None where the label is unknown (test sets); the score, in regression tasks.
      index: Name of the row in the task's own table, in test sets that have one.
    """

    example_id: str
    source: str
    text_a: str
    text_b: str | None = None
    label: str | None = None
    index: str | None = None


class TokenizedRow(NamedTuple):
    """WordPiece ids of a row, not yet truncated; `ids_b` is empty if there is one text only."""

    ids_a: list[int]
    ids_b: list[int]

    @property
    def length(self) -> int:
        """Number of tokens with [CLS] and [SEP]s, if nothing is truncated."""
        return len(self.ids_a) + len(self.ids_b) + (3 if self.ids_b else 2)


def check_segments(
    num_segments: int, has_pairs: bool, texts: str, model: str = "the model"
) -> None:
    """Raises a UserError where a model of one segment is to read pairs of texts.

    Nothing else would: the one-hot vector of a segment that the model lacks is zeros.

    Args:
      num_segments: The model's `type_vocab_size`.
      has_pairs: Whether there are pairs.
      texts: Their source, for the message.
      model: The model, for the message.
    """
    if has_pairs and num_segments < 2:
        raise UserError(
            f"{texts}: found a pair of texts, but {model} has one segment only (type_vocab_size 1), "
            "so it cannot tell the two apart; pass single texts, or use a model of two segments."
        )


def encode_rows(
    tokenizer: FullTokenizer,
    rows: Sequence[tuple[str, str | None]],
    max_seq_length: int,
    label_ids: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Turns texts into the features of classifier records.

    Args:
      tokenizer: Of the model that will read the records.
      rows: (first text, second text or None), N of them. An empty second text counts as none.
      max_seq_length: S, at least 3. Longer rows are truncated, a pair by taking the last token off
        the longer text, off the second if both are equally long.
      label_ids: int32 or float32 [N], as in the records; zeros if the labels are unknown.

    Returns:
      int32 arrays: input_ids, input_mask and segment_ids [N, S], is_real_example [N]; and label_ids
      as given.
    """
    return pack_rows(tokenizer, tokenize_rows(tokenizer, rows), max_seq_length, label_ids)


def tokenize_rows(
    tokenizer: FullTokenizer, rows: Iterable[tuple[str, str | None]]
) -> list[TokenizedRow]:
    """The first half of `encode_rows`, for callers that want to know the untruncated lengths."""
    return [
        TokenizedRow(tokenizer.encode(text_a), tokenizer.encode(text_b) if text_b else [])
        for text_a, text_b in rows
    ]


def pack_rows(
    tokenizer: FullTokenizer,
    rows: Sequence[TokenizedRow],
    max_seq_length: int,
    label_ids: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The second half of `encode_rows`."""
    flat_ids: list[int] = []
    first_lengths = np.zeros(len(rows), np.int32)
    lengths = np.zeros(len(rows), np.int32)
    for i, (ids_a, ids_b) in enumerate(rows):
        ids, first_lengths[i] = input_row(tokenizer, ids_a, ids_b, max_seq_length)
        lengths[i] = len(ids)
        flat_ids += ids
    positions = np.arange(max_seq_length)
    is_token = positions < lengths[:, None]
    input_ids = np.zeros(is_token.shape, np.int32)
    input_ids[is_token] = flat_ids
    return {
        "input_ids": input_ids,
        "input_mask": is_token.astype(np.int32),
        "segment_ids": (is_token & (positions >= first_lengths[:, None])).astype(np.int32),
        "label_ids": np.zeros(len(rows), np.int32) if label_ids is None else label_ids,
        "is_real_example": np.ones(len(rows), np.int32),
    }


def write_classifier_records(
    path: str,
    tokenizer: FullTokenizer,
    examples: Iterable[Example],
    labels: Sequence[str],
    max_seq_length: int,
    shows_example: bool = True,
    num_segments: int = 2,
) -> dict[str, Any]:
    """Writes one TFRecord file and its sidecar; memory does not grow with the number of examples.

    Args:
      path: The record file.
      tokenizer: Of the model that will read the records.
      examples: In the order of the records.
      labels: All labels; `label_ids` are positions in this list. None of them in a regression task:
        the labels of the examples are numbers then, and so are `label_ids`.
      max_seq_length: S.
      shows_example: Whether the first example is logged as the model will see it.
      num_segments: The `type_vocab_size` of that model.

    Returns:
      The content of the sidecar: num_examples, num_truncated, max_seq_length, labels, label_counts
      (label -> rows), vocab_sha256, do_lower_case.

    Raises:
      UserError: Whatever reading `examples` raises, or a pair for a model of one segment; an earlier
        file stays as it was.
    """
    label_ids = _label_encoder(labels)
    num_examples = num_truncated = num_empty = 0
    label_counts = dict.fromkeys(labels, 0)
    first_empty = None
    with RecordWriter(path) as writer:
        for chunk in chunks(examples, _CHUNK_ROWS):
            rows = tokenize_rows(tokenizer, ((e.text_a, e.text_b) for e in chunk))
            features = pack_rows(tokenizer, rows, max_seq_length, label_ids(chunk))
            writer.write_many(serialize_examples(features))
            if shows_example and not num_examples:
                _log_example(tokenizer, chunk[0], features)
            num_examples += len(chunk)
            for example in chunk:
                check_segments(num_segments, bool(example.text_b), example.source)
                if labels and example.label is not None:
                    label_counts[example.label] += 1
            num_truncated += sum(row.length > max_seq_length for row in rows)
            empty = [e.source for e, row in zip(chunk, rows, strict=True) if not row.ids_a]
            num_empty += len(empty)
            first_empty = first_empty or next(iter(empty), None)
    logging.info(
        "%s: %d examples, %d of them truncated to %d tokens",
        path,
        num_examples,
        num_truncated,
        max_seq_length,
    )
    if first_empty:
        logging.warning(
            "%d examples have an empty text and were kept; the first: %s", num_empty, first_empty
        )
    info = {
        "num_examples": num_examples,
        "num_truncated": num_truncated,
        "max_seq_length": max_seq_length,
        "labels": list(labels),
        "label_counts": label_counts,
        "vocab_sha256": tokenizer.sha256,
        "do_lower_case": tokenizer.do_lower_case,
    }
    write_sidecar(path, info)
    return info


def _label_encoder(labels: Sequence[str]) -> Callable[[Sequence[Example]], np.ndarray]:
    """Examples -> their labels as the records hold them, 0 where there is none."""
    if not labels:
        return lambda examples: np.array([float(e.label or 0) for e in examples], np.float32)
    positions = {label: i for i, label in enumerate(labels)}
    return lambda examples: np.array(
        [0 if e.label is None else positions[e.label] for e in examples], np.int32
    )


def _log_example(
    tokenizer: FullTokenizer, example: Example, features: dict[str, np.ndarray]
) -> None:
    """Logs the first row of the features, without its padding."""
    ids = features["input_ids"][0, : features["input_mask"][0].sum()].tolist()
    logging.info("*** Example ***")
    logging.info("  id: %s", example.example_id)
    logging.info("  tokens: %s", " ".join(tokenizer.tokens[i] for i in ids))
    logging.info("  ids: %s", " ".join(map(str, ids)))
    if example.label is not None:
        logging.info("  label: %s", example.label)
