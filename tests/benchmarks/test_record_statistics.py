"""Averages of records against two records written by hand."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from benchmarks.record_statistics import record_statistics

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one", "two", "three"]


def _record(ids: list[int], second: int, positions: list[int], words: list[int], random: int):
    def integers(values: list[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    length, real = len(ids), len(positions)
    features = {
        "input_ids": integers(ids + [0] * (8 - length)),
        "input_mask": integers([1] * length + [0] * (8 - length)),
        "segment_ids": integers([0] * (length - second) + [1] * second + [0] * (8 - length)),
        "masked_lm_positions": integers(positions + [0] * (3 - real)),
        "masked_lm_ids": integers(words + [0] * (3 - real)),
        "masked_lm_weights": tf.train.Feature(
            float_list=tf.train.FloatList(value=[1.0] * real + [0.0] * (3 - real))
        ),
        "next_sentence_labels": integers([random]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_averages(tmp_path: pathlib.Path) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(VOCAB) + "\n")
    path = str(tmp_path / "records.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        # Full; one [MASK], one word kept, one replaced.
        writer.write(_record([2, 4, 6, 3, 7, 5, 5, 3], 4, [1, 2, 4], [5, 6, 5], random=1))
        # Short; one [MASK].
        writer.write(_record([2, 4, 3, 6, 3], 2, [1], [5], random=0))
    assert record_statistics(path, str(vocab), 8, 3) == (
        "2 of 3.5 + 3.0 tokens, 50.0 % full, 50.0 % random next, "
        "30.77 % masked (50.0 / 25.0 / 25.0 % [MASK] / kept / other)"
    )
