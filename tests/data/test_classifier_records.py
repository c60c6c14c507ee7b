"""Encoding of classifier examples and the record files made of them."""

from __future__ import annotations

import functools
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from data.classifier_records import (
    Example,
    encode_rows,
    feature_spec,
    write_classifier_records,
)
from data.sidecars import read_sidecar
from modeling.tokenization import SPECIAL_TOKENS, FullTokenizer

WORDS = ("red", "green", "blue")


@pytest.fixture
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FullTokenizer:
    """[CLS] is 2, [SEP] is 3, the words are 5, 6 and 7."""
    vocab_file = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    vocab_file.write_text("\n".join((*SPECIAL_TOKENS, *WORDS)) + "\n")
    return FullTokenizer(str(vocab_file), do_lower_case=True)


def original_row(a: list[int], b: list[int], max_seq_length: int) -> tuple[list, list, list]:
    """What the original's `convert_single_example` does, one token at a time, on ids."""
    a, b = list(a), list(b)
    if b:
        while len(a) + len(b) > max_seq_length - 3:
            longer = a if len(a) > len(b) else b
            del longer[-1]
    else:
        del a[max_seq_length - 2 :]
    ids, segments = [2, *a, 3], [0] * (len(a) + 2)
    if b:
        ids += [*b, 3]
        segments += [1] * (len(b) + 1)
    padding = [0] * (max_seq_length - len(ids))
    return ids + padding, [1] * len(ids) + padding, segments + padding


def test_single_and_pair_formats(tokenizer: FullTokenizer) -> None:
    rows = [("red green", None), ("red", "green blue"), ("", "blue"), ("red", "")]
    features = encode_rows(tokenizer, rows, 8)
    assert features["input_ids"].tolist() == [
        [2, 5, 6, 3, 0, 0, 0, 0],
        [2, 5, 3, 6, 7, 3, 0, 0],
        [2, 3, 7, 3, 0, 0, 0, 0],
        [2, 5, 3, 0, 0, 0, 0, 0],
    ]
    assert features["segment_ids"].tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert features["input_mask"].sum(axis=1).tolist() == [4, 6, 4, 3]
    assert features["label_ids"].tolist() == [0, 0, 0, 0]
    assert features["is_real_example"].tolist() == [1, 1, 1, 1]
    assert {array.dtype for array in features.values()} == {np.dtype(np.int32)}


@pytest.mark.parametrize("max_seq_length", [3, 4, 5, 12, 13, 40])
def test_equals_the_original_on_random_rows(tokenizer: FullTokenizer, max_seq_length: int) -> None:
    rng = random.Random(max_seq_length)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randrange(20)))

    rows = [(text(), text() if rng.random() < 0.7 else None) for _ in range(500)]
    features = encode_rows(tokenizer, rows, max_seq_length)
    encode = tokenizer.encode
    expected = [original_row(encode(a), encode(b or ""), max_seq_length) for a, b in rows]
    for i, name in enumerate(("input_ids", "input_mask", "segment_ids")):
        np.testing.assert_array_equal(features[name], [row[i] for row in expected])


def examples(count: int) -> Iterator[Example]:
    for i in range(count):
        yield Example(
            f"train-{i}",
            f"train.tsv, line {i + 1}",
            " ".join(["red", "green", "blue"] * (i % 4)),
            "blue red",
            ("no", "yes")[i % 2],
        )


def test_record_file_and_sidecar(
    tokenizer: FullTokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import tensorflow as tf

    path = str(tmp_path / "train.tf_record")
    caplog.set_level(logging.INFO)
    # More than two chunks, so that order and counts hold across them.
    info = write_classifier_records(path, tokenizer, examples(4100), ("no", "yes"), 10)

    assert info == {
        "num_examples": 4100,
        "num_truncated": 2050,  # 6 + 2 or 9 + 2 words, [CLS] and two [SEP]
        "max_seq_length": 10,
        "labels": ["no", "yes"],
        "label_counts": {"no": 2050, "yes": 2050},
        "vocab_sha256": tokenizer.sha256,
        "do_lower_case": True,
    }
    sidecar = read_sidecar(path)
    assert sidecar is not None and info.items() <= sidecar.items()

    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    assert len(records) == 4100
    spec = {
        "input_ids": tf.io.FixedLenFeature([10], tf.int64),
        "input_mask": tf.io.FixedLenFeature([10], tf.int64),
        "segment_ids": tf.io.FixedLenFeature([10], tf.int64),
        "label_ids": tf.io.FixedLenFeature([], tf.int64),
        "is_real_example": tf.io.FixedLenFeature([], tf.int64),
    }
    parsed = tf.io.parse_single_example(records[4097], spec)
    assert parsed["input_ids"].numpy().tolist() == [2, 5, 6, 7, 3, 7, 5, 3, 0, 0]
    assert parsed["input_mask"].numpy().tolist() == [1] * 8 + [0] * 2
    assert parsed["segment_ids"].numpy().tolist() == [0] * 5 + [1] * 3 + [0] * 2
    assert parsed["label_ids"].numpy() == 1
    assert parsed["is_real_example"].numpy() == 1

    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("*** Example ***") == 1
    assert any(
        "1025 examples have an empty text" in m and "train.tsv, line 1" in m for m in messages
    )


def test_pairs_need_a_model_of_two_segments(tokenizer: FullTokenizer, tmp_path: Path) -> None:
    """Whichever row they are in; an empty second text counts as none."""
    path = tmp_path / "train.tf_record"
    rows = [
        Example("train-1", "train.tsv, line 1", "red", None, "no"),
        Example("train-2", "train.tsv, line 2", "red", "", "no"),
        Example("train-3", "train.tsv, line 3", "red", "blue", "no"),
    ]
    write = functools.partial(write_classifier_records, num_segments=1)
    message = "train.tsv, line 3: found a pair of texts, but the model has one segment only"
    with pytest.raises(UserError, match=message):
        write(str(path), tokenizer, rows, ("no", "yes"), 8)
    assert not path.exists()
    write(str(path), tokenizer, rows[:2], ("no", "yes"), 8)


def test_rows_without_label(
    tokenizer: FullTokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = str(tmp_path / "predict.tf_record")
    rows = [Example("test-1", "test.tsv, line 2", "red")]
    assert write_classifier_records(path, tokenizer, rows, ("no", "yes"), 8)["num_examples"] == 1
    assert "  tokens: [CLS] red [SEP]" in caplog.messages
    assert not any("label: " in message for message in caplog.messages)


def test_scores_are_floats(
    tokenizer: FullTokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without labels the task is a regression."""
    import tensorflow as tf

    caplog.set_level(logging.INFO)
    path = str(tmp_path / "train.tf_record")
    scores = ("3.800", "0", None)
    rows = [Example(f"train-{i}", "train.tsv", "red", "blue", y) for i, y in enumerate(scores)]
    assert write_classifier_records(path, tokenizer, rows, (), 8)["labels"] == []
    for message in ("id: train-0", "tokens: [CLS] red [SEP] blue [SEP]", "ids: 2 5 3 7 3"):
        assert f"  {message}" in caplog.messages
    assert "  label: 3.800" in caplog.messages
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    parsed = tf.io.parse_example(records, feature_spec(8, is_regression=True))
    assert parsed["label_ids"].dtype == tf.float32
    assert parsed["label_ids"].numpy().tolist() == [np.float32(3.8), 0.0, 0.0]
    assert parsed["input_ids"].numpy()[0].tolist() == [2, 5, 3, 7, 3, 0, 0, 0]


def test_bad_row_leaves_earlier_records_alone(tokenizer: FullTokenizer, tmp_path: Path) -> None:
    path = tmp_path / "train.tf_record"
    write_classifier_records(str(path), tokenizer, examples(3), ("no", "yes"), 8)
    before = path.read_bytes()

    def failing() -> Iterator[Example]:
        yield from examples(3000)
        raise UserError("train.tsv, line 3001: found 1 column")

    with pytest.raises(UserError, match="line 3001"):
        write_classifier_records(str(path), tokenizer, failing(), ("no", "yes"), 8)
    assert path.read_bytes() == before
    sidecar = read_sidecar(str(path))
    assert sidecar is not None and sidecar["num_examples"] == 3
    assert sorted(p.name for p in tmp_path.iterdir() if "tmp" in p.name.lower()) == []
