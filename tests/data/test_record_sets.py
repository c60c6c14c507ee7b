"""The input pipeline: which examples come when, and which files are refused."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from data import batches as pipeline
from data.batches import (
    LENGTH_MULTIPLE,
    evaluation_batches,
    read_feature,
    training_batches,
)
from data.record_sets import Limit, RecordSet, explain_damaged_record, open_records
from data.tfrecords import RecordWriter, serialize_examples, sidecar_path, write_sidecar
from training.strategy import distribute

LENGTH = 40
SPEC = {
    "input_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
    "input_mask": tf.io.FixedLenFeature([LENGTH], tf.int64),
    "segment_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
    "label_ids": tf.io.FixedLenFeature([], tf.int64),
    "weights": tf.io.FixedLenFeature([3], tf.float32),
}
Batch = dict[str, np.ndarray]


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


def write(path: Path, features: dict[str, np.ndarray], compress: bool = False) -> str:
    with RecordWriter(str(path), gzip_compress=compress) as writer:
        writer.write_many(serialize_examples(features))
    write_sidecar(str(path), {"num_examples": len(features["label_ids"])})
    return str(path)


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    """130 examples."""
    path = write(tmp_path_factory.mktemp("one") / "a.tfrecord", rows(0, 130))
    return open_records(path, "input_file", SPEC, {})


@pytest.fixture(scope="module")
def several_files(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    """130 examples in three files of different sizes, one of them compressed."""
    folder = tmp_path_factory.mktemp("several")
    for i, (first, count) in enumerate(((0, 20), (20, 63), (83, 47))):
        write(folder / f"{i}.tfrecord", rows(first, count), compress=i == 1)
    return open_records(f"{folder}/*.tfrecord", "input_file", SPEC, {})


@pytest.fixture(params=["one_file", "several_files"])
def records(request: pytest.FixtureRequest) -> RecordSet:
    return request.getfixturevalue(request.param)


def take(dataset: tf.data.Dataset, count: int) -> list[Batch]:
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def numbers_of(batches: list[Batch]) -> list[int]:
    return [int(number) for batch in batches for number in batch["label_ids"]]


def assert_rows_are_whole(batches: list[Batch]) -> None:
    """Each row holds what its example holds, up to the cut padding."""
    written = rows(0, 130)
    for batch in batches:
        numbers = batch["label_ids"]
        length = batch["input_ids"].shape[1]
        for name in ("input_ids", "input_mask", "segment_ids"):
            assert batch[name].dtype == np.int32
            np.testing.assert_array_equal(batch[name], written[name][numbers, :length])
            assert not written[name][numbers, length:].any()
        np.testing.assert_array_equal(batch["weights"], written["weights"][numbers])


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_open_records_counts_and_recognizes_compression(several_files: RecordSet) -> None:
    assert several_files.num_examples == 130
    assert several_files.compressions == ("", "GZIP", "")
    assert several_files.info["num_examples"] == 20
    sizes = [Path(path).stat().st_size for path in several_files.files]
    assert several_files.mean_bytes == sum(sizes) // 130


# Training


@pytest.mark.parametrize("shuffle_bytes", [pipeline.SHUFFLE_BYTES, 5000])
def test_each_example_once_an_epoch(
    records: RecordSet, shuffle_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", shuffle_bytes)
    batches = take(training_batches(records, SPEC, batch_size=8, seed=3), 49)
    assert {batch["input_ids"].shape for batch in batches} == {(8, LENGTH)}
    assert_rows_are_whole(batches)
    numbers = numbers_of(batches)  # 392, three epochs and two examples
    epochs = [numbers[i : i + 130] for i in (0, 130, 260)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(130))
        assert epoch != list(range(130))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_grouped_batches_hold_the_same_examples(
    records: RecordSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = training_batches(records, SPEC, batch_size=5, seed=3, group_by_length=True)
    batches = take(dataset, 3 * 26)
    assert_rows_are_whole(batches)
    for epoch in range(3):
        assert sorted(numbers_of(batches[26 * epoch : 26 * (epoch + 1)])) == list(range(130))
    # Three windows of 8 batches in an epoch, each with the examples it would have without grouping.
    monkeypatch.setattr(pipeline, "LENGTH_WINDOW", 10)
    batches = take(training_batches(records, SPEC, 5, seed=3, group_by_length=True), 48)
    plain = numbers_of(take(training_batches(records, SPEC, 5, seed=3), 48))
    for start in range(0, 48, 8):
        found = numbers_of(batches[start : start + 8])
        expected = plain[5 * start : 5 * (start + 8)]
        assert sorted(found) == sorted(expected) and found != expected


def test_grouped_batches_cut_padding(one_file: RecordSet) -> None:
    batches = take(training_batches(one_file, SPEC, 13, seed=3, group_by_length=True), 50)
    tokens = 0
    for batch in batches:
        longest, width = batch["input_mask"].sum(axis=1).max(), batch["input_mask"].shape[1]
        assert width % LENGTH_MULTIPLE == 0 and longest <= width < longest + LENGTH_MULTIPLE
        tokens += batch["input_ids"].size
    assert tokens < 0.5 * 50 * 13 * LENGTH
    # Short and long batches take turns.
    widths = [batch["input_ids"].shape[1] for batch in batches]
    assert widths != sorted(widths) and widths != sorted(widths, reverse=True)


def test_length_is_not_rounded_beyond_that_of_the_records(tmp_path: Path) -> None:
    features = {k: v[:, :21] if v.shape[1:] == (LENGTH,) else v for k, v in rows(0, 40).items()}
    spec = {
        name: tf.io.FixedLenFeature([21], tf.int64) if feature.shape == [LENGTH] else feature
        for name, feature in SPEC.items()
    }
    records = open_records(write(tmp_path / "a.tfrecord", features), "input_file", spec, {})
    batches = take(training_batches(records, spec, 4, seed=3, group_by_length=True), 50)
    assert {batch["input_ids"].shape[1] for batch in batches} == {4, 8, 12, 16, 20, 21}


@pytest.mark.parametrize("grouped", [False, True])
def test_order_is_a_function_of_the_seed(records: RecordSet, grouped: bool) -> None:
    first, same, other = (
        take(training_batches(records, SPEC, 8, seed, group_by_length=grouped), 30)
        for seed in (3, 3, 4)
    )
    assert_same(first, same)
    assert numbers_of(first) != numbers_of(other)


@pytest.mark.parametrize("grouped", [False, True])
def test_start_step_leaves_out_that_many_batches(records: RecordSet, grouped: bool) -> None:
    def batches_from(step: int, count: int) -> list[Batch]:
        dataset = training_batches(
            records, SPEC, 5, seed=3, start_step=step, group_by_length=grouped
        )
        return take(dataset, count)

    whole = batches_from(0, 277)
    # One batch on; before, at and after the end of a window; at and after the end of an epoch.
    for step in (1, 25, 26, 27, 52, 75, 217):
        assert_same(batches_from(step, 60), whole[step : step + 60])


# Evaluation


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 8, 65, 200])
def test_evaluation_sees_every_row_once(records: RecordSet, grouped: bool, batch_size: int) -> None:
    batches = list(
        evaluation_batches(records, SPEC, batch_size, group_by_length=grouped).as_numpy_iterator()
    )
    sizes = [len(batch["row"]) for batch in batches]
    assert sum(sizes) == -(-130 // batch_size) * batch_size
    if grouped:
        # Some are of several times the size, none of more tokens than one of full length.
        assert {size % batch_size for size in sizes} == {0}
        assert (max(sizes) > batch_size) == (batch_size <= 8)
        assert all(batch["input_ids"].size <= batch_size * LENGTH for batch in batches)
    else:
        assert set(sizes) == {batch_size}
    assert_rows_are_whole(batches)
    row = np.concatenate([batch["row"] for batch in batches])
    is_real = np.concatenate([batch["is_real_row"] for batch in batches])
    assert set(is_real) <= {0.0, 1.0}
    # Rows are numbered in the order of the files, as the examples are.
    np.testing.assert_array_equal(row, numbers_of(batches))
    assert sorted(row[is_real == 1.0]) == list(range(130))
    if grouped and len(batches) > 1:
        assert sum(batch["input_ids"].size for batch in batches) < len(row) * LENGTH
    if not grouped:
        assert row[:130].tolist() == list(range(130))


def test_shapes_are_static_unless_grouped(one_file: RecordSet) -> None:
    """A TPU compiles a program for each shape before it sees a batch."""
    datasets = [
        training_batches(one_file, SPEC, 8, seed=1),
        evaluation_batches(one_file, SPEC, 8),
    ]
    for dataset in datasets:
        shapes = {name: spec.shape.as_list() for name, spec in dataset.element_spec.items()}
        assert {name: shapes[name] for name in SPEC} == {
            name: [8, *feature.shape] for name, feature in SPEC.items()
        }
        assert all(None not in shape for shape in shapes.values())


def test_no_iterator_tunes_itself(one_file: RecordSet) -> None:
    """Its end would wait for the thread that does."""
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    datasets = [
        training_batches(one_file, SPEC, 8, seed=1, group_by_length=True),
        evaluation_batches(one_file, SPEC, 8),
    ]
    for dataset in datasets:
        assert dataset.options().autotune.enabled is False
        # The iterator of a distributed data set has another on top, with options of its own.
        assert distribute(dataset, strategy) is dataset


def test_read_feature(records: RecordSet) -> None:
    np.testing.assert_array_equal(read_feature(records, SPEC, "label_ids"), np.arange(130))
    np.testing.assert_array_equal(read_feature(records, SPEC, "weights"), rows(0, 130)["weights"])


# Bad input


def test_missing_feature(tmp_path: Path) -> None:
    features = rows(0, 3)
    del features["segment_ids"]
    path = write(tmp_path / "a.tfrecord", features)
    with pytest.raises(UserError, match=r'a\.tfrecord.*no feature "segment_ids"; it has inp'):
        open_records(path, "input_file", SPEC, {})


def test_other_length(tmp_path: Path) -> None:
    features = rows(0, 3)
    features["input_mask"] = features["input_mask"][:, :-1]
    path = write(tmp_path / "a.tfrecord", features)
    with pytest.raises(
        UserError, match='a.tfrecord, record 1: feature "input_mask" has 39 .* expects 40'
    ):
        open_records(path, "input_file", SPEC, {})


def test_other_settings_in_a_later_file(tmp_path: Path) -> None:
    for name, sha256 in (("a", "old"), ("b", "new")):
        path = write(tmp_path / f"{name}.tfrecord", rows(0, 3))
        write_sidecar(path, {"num_examples": 3, "vocab_sha256": sha256})
    pattern = f"{tmp_path}/*.tfrecord"
    with pytest.raises(UserError, match=r"b\.tfrecord was made with vocab_sha256 = new.* has old"):
        open_records(pattern, "input_file", SPEC, {"vocab_sha256": "old"})
    # What the run or the sidecar does not know cannot contradict.
    unknown = {"vocab_sha256": None, "do_lower_case": True}
    assert open_records(pattern, "input_file", SPEC, unknown).num_examples == 6


def test_file_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", rows(0, 20))
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:-9])
    size = len(data)
    with pytest.raises(UserError, match=rf"a\.tfrecord: {size - 9} bytes, but it had {size}"):
        open_records(path, "input_file", SPEC, {})
    Path(sidecar_path(path)).unlink()
    with pytest.raises(UserError, match=r"a\.tfrecord: record 20 is corrupt or cut off"):
        open_records(path, "input_file", SPEC, {})


@pytest.mark.parametrize("compress", [False, True])
def test_damage_found_while_reading_names_file_and_record(tmp_path: Path, compress: bool) -> None:
    """A flipped bit leaves the size as it was, so that only reading shows it."""
    write(tmp_path / "a.tfrecord", rows(0, 20))
    write(tmp_path / "b.tfrecord", rows(20, 20))
    whole = open_records(str(tmp_path / "a.tfrecord"), "eval_file", SPEC, {})
    path = tmp_path / "c.tfrecord"
    write(path, rows(40, 20), compress=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(gzip.compress(data) if compress else data)
    write_sidecar(str(path), {"num_examples": 20})
    records = open_records(f"{tmp_path}/*.tfrecord", "input_file", SPEC, {})
    with (
        pytest.raises(UserError, match=r"c\.tfrecord: record 1[01] is corrupt or cut off"),
        explain_damaged_record(whole, records),
    ):
        take(training_batches(records, SPEC, batch_size=10, seed=1), 6)


def test_other_errors_are_not_taken_for_damage(one_file: RecordSet) -> None:
    with pytest.raises(ZeroDivisionError), explain_damaged_record(one_file):
        _ = 1 / 0


def test_compressed_file_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", rows(0, 20), compress=True)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    Path(sidecar_path(path)).unlink()
    with pytest.raises(UserError, match=r"a\.tfrecord: record \d+ is corrupt or cut off"):
        open_records(path, "input_file", SPEC, {})


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["plain", "gzip"])
def test_empty_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.tfrecord: no records in it"):
        open_records(str(path), "input_file", SPEC, {})


def test_file_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_text("sentence\tlabel\n" * 20)
    with pytest.raises(UserError, match=r"a\.tfrecord: record 1 is corrupt or cut off"):
        open_records(str(path), "input_file", SPEC, {})


def test_sidecar_that_is_not_json(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", rows(0, 3))
    Path(sidecar_path(path)).write_text(json.dumps({"num_examples": 3})[:-1])
    with pytest.raises(UserError, match=r"a\.tfrecord\.json, line 1.*not valid JSON"):
        open_records(path, "input_file", SPEC, {})


@pytest.mark.parametrize("pattern", ["{}/a.tfrecord*", "{}/*", "{}", "{}/**"])
def test_sidecars_are_no_records(tmp_path: Path, pattern: str) -> None:
    """Nor are those of earlier versions, or the manifest of soft labels."""
    path = write(tmp_path / "a.tfrecord", rows(0, 3))
    second = write(tmp_path / "a.tfrecord2", rows(3, 4))
    Path(sidecar_path(second)).rename(f"{second}.json")
    if pattern != "{}/a.tfrecord*":
        (tmp_path / "soft_labels.json").write_text("{}")
    records = open_records(pattern.format(tmp_path), "input_file", SPEC, {})
    assert (records.files, records.num_examples) == ((path, second), 7)


LIMITS = {"label_ids": Limit(1000, "labels"), "segment_ids": Limit(2, "the type_vocab_size")}


@pytest.mark.parametrize("has_sidecar", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("label_ids", 1000, r"holds 1000 at position 0, expected 0 to 999 \(labels\)"),
        ("label_ids", 2**32, r"holds 4294967296 at position 0"),
        ("segment_ids", 2, r"holds 2 at position 0, expected 0 to 1 \(the type_vocab_size\)"),
        ("weights", np.nan, "holds nan at position 0, expected a finite number"),
        ("weights", -np.inf, "holds -inf at position 0"),
        ("label_ids", None, "no feature .label_ids.; it has input_ids, "),
        ("weights", None, "no feature .weights.; it has input_ids, "),
        ("input_ids", "longer", 'feature "input_ids" has 41 values, this run expects 40'),
        (
            "input_ids",
            "float",
            'feature "input_ids" is a float_list, this run expects int64 values',
        ),
        ("weights", "shorter", 'feature "weights" has 2 values, this run expects 3'),
    ],
)
def test_bad_record_is_named_by_file_and_number(
    tmp_path: Path, has_sidecar: bool, name: str, value: object, message: str
) -> None:
    """Files of another tool are looked through at once; of our own, what fails is looked for."""
    write(tmp_path / "a.tfrecord", rows(0, 700))
    bad = rows(600, 1)
    if value is None:
        del bad[name]
    elif value == "longer":
        bad[name] = np.pad(bad[name], ((0, 0), (0, 1)))
    elif value == "shorter":
        bad[name] = bad[name][:, 1:]
    elif value == "float":
        bad[name] = bad[name].astype(np.float32)
    else:
        bad[name][0, ...] = value
    path = str(tmp_path / "b.tfrecord")
    with RecordWriter(path) as writer:
        for features in (rows(0, 600), bad, rows(601, 99)):
            writer.write_many(serialize_examples(features))
    message = rf"b\.tfrecord, record 601: .*{message}"
    if has_sidecar:
        write_sidecar(path, {"num_examples": 700})
        records = open_records(f"{tmp_path}/*.tfrecord", "input_file", SPEC, {}, LIMITS)
        with pytest.raises(UserError, match=message), explain_damaged_record(records):
            raise tf.errors.InvalidArgumentError(
                None, None, "indices[3,4] = 1000 is not in [0, 96)"
            )
    else:
        with pytest.raises(UserError, match=message):
            open_records(f"{tmp_path}/*.tfrecord", "input_file", SPEC, {}, LIMITS)


def test_bad_first_record_of_a_file_with_a_sidecar(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", rows(999, 2))
    open_records(path, "input_file", SPEC, {}, {"label_ids": Limit(1000, "labels")})
    with pytest.raises(UserError, match=r"a\.tfrecord, record 1: .*holds 999 .* 0 to 998"):
        open_records(path, "input_file", SPEC, {}, {"label_ids": Limit(999, "labels")})


def test_records_that_are_no_examples(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tfrecord")
    with RecordWriter(path) as writer:
        writer.write_many([*serialize_examples(rows(0, 9)), b"\xff" * 9])
    with pytest.raises(UserError, match=r"a\.tfrecord, record 10: it is no tf.train.Example"):
        open_records(path, "input_file", SPEC, {})


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB", ""])
@pytest.mark.parametrize("name", ["a.tfrecord", "a.gz"])
def test_compression_is_told_by_the_content(tmp_path: Path, compression: str, name: str) -> None:
    path = str(tmp_path / name)
    with tf.io.TFRecordWriter(path, compression) as writer:
        for record in serialize_examples(rows(0, 9)):
            writer.write(record)
    records = open_records(path, "input_file", SPEC, {})
    assert (records.compressions, records.num_examples) == ((compression,), 9)
    [batch] = evaluation_batches(records, SPEC, 9)
    np.testing.assert_array_equal(batch["label_ids"], np.arange(9))


@pytest.mark.parametrize(("module", "kind"), [(bz2, "bzip2"), (lzma, "xz")])
def test_compression_that_tensorflow_cannot_read(tmp_path: Path, module: Any, kind: str) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(module.compress(Path(write(path, rows(0, 9))).read_bytes()))
    with pytest.raises(
        UserError, match=rf"a\.tfrecord is compressed with {kind}, which TensorFlow"
    ):
        open_records(str(path), "input_file", SPEC, {})


def test_digest_is_that_of_the_content(tmp_path: Path) -> None:
    """Not of names, nor of how often it was looked at; a file without a sidecar has one, too."""
    first, second = (write(tmp_path / name, rows(0, 3)) for name in ("a.tfrecord", "b.tfrecord"))
    digests = {open_records(path, "input_file", SPEC, {}).sha256 for path in (first, second)}
    Path(sidecar_path(first)).unlink()
    digests.add(open_records(first, "input_file", SPEC, {}).sha256)
    assert len(digests) == 1
    digests.add(open_records(f"{first},{second}", "input_file", SPEC, {}).sha256)
    write(Path(first), rows(1, 3))
    digests.add(open_records(first, "input_file", SPEC, {}).sha256)
    digests.add(open_records(f"{first},{second}", "input_file", SPEC, {}).sha256)
    assert len(digests) == 4


def test_file_written_over_the_one_of_its_sidecar(tmp_path: Path) -> None:
    """Of the same size, and with the time of the earlier one."""
    path = Path(write(tmp_path / "a.tfrecord", rows(0, 3)))
    whole, status = path.read_bytes(), path.stat()
    other = bytearray(whole)
    other[len(whole) // 2] ^= 1
    path.write_bytes(other)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UserError, match=r"a\.tfrecord is corrupt or was overwritten: its SHA-256"):
        open_records(str(path), "input_file", SPEC, {})
    path.write_bytes(whole)
    assert open_records(str(path), "input_file", SPEC, {}).num_examples == 3


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'--eval_file: no file matches ".*/\*\.tfrecord"'):
        open_records(f"{tmp_path}/*.tfrecord", "eval_file", SPEC, {})
