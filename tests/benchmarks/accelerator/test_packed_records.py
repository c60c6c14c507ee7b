"""Text to rows of bytes, and their order."""

from __future__ import annotations

import pathlib

import numpy as np
from accelerator_rows import LENGTH, PREDICTIONS, random_features

from benchmarks.accelerator.packed_records import (
    HELD_OUT_ROWS,
    PASS_ENDS,
    TRAINING_ROWS,
    batches,
    pack,
    split_documents,
    unpack,
    write_rows,
)
from modeling.tokenization import FullTokenizer
from pretraining.record_writing import InstanceOptions


def test_packing_loses_nothing() -> None:
    features = random_features(50)
    rows = pack(features)
    assert rows.dtype == np.uint8 and rows.shape == (50, 2 * LENGTH + 3 * PREDICTIONS + 4)
    for name, values in unpack(rows, LENGTH, PREDICTIONS).items():
        np.testing.assert_array_equal(values, features[name], err_msg=name)
        assert values.dtype == (np.float32 if name == "masked_lm_weights" else np.int32)


def test_documents(tmp_path: pathlib.Path) -> None:
    """Every fiftieth document of each file is held out, whichever way its ends are marked."""
    paragraphs, reviews = tmp_path / "text.txt", tmp_path / "reviews.txt"
    paragraphs.write_text("\n\n\n".join(f"a{i}\nb{i}" for i in range(51)))
    reviews.write_text("".join(f"c{i}\n" for i in range(102)))
    training, held_out = split_documents([str(paragraphs)], [str(reviews)], str(tmp_path))
    assert pathlib.Path(held_out).read_text() == "a49\nb49\n\nc49\n\nc99\n\n"
    documents = pathlib.Path(training).read_text().split("\n\n")
    assert documents[:50][-1] == "a50\nb50" and len(documents) == 50 + 100 + 1


def test_rows_of_text(tmp_path: pathlib.Path, vocab_file: str) -> None:
    reviews = tmp_path / "reviews.txt"
    reviews.write_text("The men ran. They want the low.\n" * 200)
    options = InstanceOptions(LENGTH, PREDICTIONS, dupe_factor=2)
    write_rows([], [str(reviews)], vocab_file, options, str(tmp_path / "rows"), 1)
    read = {name: np.load(tmp_path / "rows" / name) for name in (TRAINING_ROWS, HELD_OUT_ROWS)}
    ends = np.load(tmp_path / "rows" / PASS_ENDS)
    assert len(ends) == 2 and ends[-1] == len(read[TRAINING_ROWS]) >= 2 * 196
    cls_id = FullTokenizer(vocab_file).cls_id
    for rows in read.values():
        assert (unpack(rows, LENGTH, PREDICTIONS)["input_ids"][:, 0] == cls_id).all()


def test_batches_go_through_one_pass_after_the_other() -> None:
    rows = np.arange(20, dtype=np.uint8)[:, np.newaxis]
    calls = batches(rows, np.array([8, 20]), 2, 2, seed=0)
    read = np.concatenate([next(calls).ravel() for _ in range(7)])
    assert sorted(read[:8]) == list(range(8)) and sorted(read[8:20]) == list(range(8, 20))
    assert set(read[20:28]) == set(range(8)) and list(read[20:28]) != list(read[:8])
