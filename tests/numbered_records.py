"""Records of examples that are told apart by a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from data.sidecars import write_sidecar
from data.tfrecords import RecordWriter, serialize_examples

LENGTH = 40
SPEC = {
    "input_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
    "input_mask": tf.io.FixedLenFeature([LENGTH], tf.int64),
    "segment_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
    "label_ids": tf.io.FixedLenFeature([], tf.int64),
    "weights": tf.io.FixedLenFeature([3], tf.float32),
}


def rows(first: int, count: int) -> dict[str, np.ndarray]:
    """Examples numbered by `label_ids`, of 3 to 38 tokens, most of them short."""
    numbers = np.arange(first, first + count)
    lengths = 3 + (numbers * 7 % 36) ** 2 // 36
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int32)
    return {
        "input_ids": mask * (numbers[:, None] + 1),
        "input_mask": mask,
        "segment_ids": mask * (numbers[:, None] % 2),
        "label_ids": numbers,
        "weights": np.stack([numbers, numbers + 0.5, -numbers], axis=1).astype(np.float32),
    }


def write_records(path: Path, features: dict[str, np.ndarray], compress: bool = False) -> str:
    with RecordWriter(str(path), gzip_compress=compress) as writer:
        writer.write_many(serialize_examples(features))
    write_sidecar(str(path), {"num_examples": len(features["label_ids"])})
    return str(path)
