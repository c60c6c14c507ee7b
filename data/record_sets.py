"""TFRecords to batches: checked, shuffled, grouped by length, and repeatable from any step.

The order of training examples is a function of (seed, epoch) alone, so a run that is resumed at
step n sees exactly the batches an uninterrupted run would have seen from there on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from common.content import Content
from common.errors import UserError
from common.files import expand_globs, file_size
from data.tfrecords import (
    is_record_name,
    read_sidecar,
    record_compression,
    records_digest,
)
from modeling.config import BertConfig

# For functions of data sets: without control flow over tensors their source need not be rewritten.
_as_written = tf.autograph.experimental.do_not_convert

FeatureSpec = Mapping[str, tf.io.FixedLenFeature]

# Records held for shuffling: a share of memory that does not grow with the data.
SHUFFLE_BYTES = 64 << 20
# Windows of batches that are parsed at the same time, and stand in memory when they are ready.
PARALLEL_CALLS = min(8, os.cpu_count() or 1)
# Batches are formed from up to this many batches' worth of shuffled examples sorted by length.
LENGTH_WINDOW = 50
# Lengths are rounded up to a multiple of this, so that shapes repeat: training compiles for each.
LENGTH_MULTIPLE = 4
# Records of another tool are checked in batches of this many.
_CHECKED_ROWS = 512
# What bad ones raise; the last where a message of TensorFlow's quotes their bytes.
_RECORD_ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, UnicodeDecodeError)


class Limit(NamedTuple):
    """How many values a whole number may have, from 0 on.

    Attributes:
      size: The number of them.
      reason: What sets it, for messages.
    """

    size: int
    reason: str


@dataclasses.dataclass(frozen=True)
class RecordSet:
    """TFRecord files that were checked.

    Attributes:
      files: Paths.
      compressions: "", "GZIP" or "ZLIB" for each file.
      num_examples: Records in all files.
      mean_bytes: Mean size of a record on disk.
      sha256: Digest of the digests of all files, in their order.
      info: The sidecar of the first file, empty for files of another tool.
      spec: The features they were checked for.
      limits: What their whole numbers may be.
    """

    files: tuple[str, ...]
    compressions: tuple[str, ...]
    num_examples: int
    mean_bytes: int
    sha256: str
    info: dict[str, Any]

    def content(self, flag: str) -> Content:
        """The records as a part of a run's identity."""
        return Content(self.sha256, f"--{flag} ({self.num_examples} records)")

    spec: FeatureSpec
    limits: Mapping[str, Limit]


def value_limits(config: BertConfig, num_labels: int = 0) -> dict[str, Limit]:
    """What the whole numbers of a record may be, so that a model can take them.

    A number beyond its limit is an error on a CPU and a silent zero on other devices.

    Args:
      config: The model.
      num_labels: Labels of the task; none in a regression and in pre-training.
    """
    words = Limit(config.vocab_size, "the model's vocab_size")
    flag = Limit(2, "no or yes")
    return {
        "input_ids": words,
        "input_mask": flag,
        "segment_ids": Limit(config.type_vocab_size, "the model's type_vocab_size"),
        "masked_lm_ids": words,
        "next_sentence_labels": flag,
        **({"label_ids": Limit(num_labels, "the number of labels")} if num_labels else {}),
    }


def open_records(
    patterns: str | Sequence[str],
    flag: str,
    spec: FeatureSpec,
    expected: Mapping[str, Any],
    limits: Mapping[str, Limit] | None = None,
) -> RecordSet:
    """Checks record files against the run before anything is trained.

    Files of another tool, which have no sidecar, are read through: every record must have all
    features in their lengths, no number beyond its limit, and finite floats. Of files with a sidecar
    the first record is checked.

    Args:
      patterns: Comma-separated globs, or the files themselves.
      flag: The flag they come from, for messages.
      spec: Features each record must have, with their lengths.
      expected: Values the sidecars must not contradict (`vocab_sha256`, `do_lower_case`, ...);
        None stands for "not known here".
      limits: From `value_limits`.

    Raises:
      UserError: Nothing matches, a file is empty, truncated or corrupt, was made with other lengths,
        another vocabulary or other labels, or holds a record that a model cannot take.
    """
    files = record_files(patterns, flag) if isinstance(patterns, str) else list(patterns)
    limits = dict(limits or {})
    if "masked_lm_positions" in spec:
        length = spec["input_ids"].shape[0]
        limits["masked_lm_positions"] = Limit(length, "the max_seq_length")
    compressions: list[str] = []
    first_info: dict[str, Any] = {}
    digest = hashlib.sha256()
    total = size = 0
    for path in files:
        compressions.append(record_compression(path))
        info = read_sidecar(path) or {}
        if info and info.get("file_size") not in (None, file_size(path)):
            raise UserError(
                f"{path}: {file_size(path)} bytes, but it had {info['file_size']} when it was "
                "finished; it is truncated or was overwritten, so create it again."
            )
        for key, value in expected.items():
            if value is not None and info.get(key, value) != value:
                raise UserError(
                    f"{path} was made with {key} = {info[key]}, this run has {value}; create the "
                    "records again or run with what they were made with."
                )
        _check_records(path, compressions[-1], spec, limits, count=1)
        known = info.get("num_examples")
        if known is None:
            logging.info("%s has no sidecar: counting and checking its records.", path)
            known = _checked_count(path, compressions[-1], spec, limits)
        total += known
        size += file_size(path)
        digest.update(f"{records_digest(path)}\n".encode())
        first_info = first_info or info
    return RecordSet(
        files=tuple(files),
        compressions=tuple(compressions),
        num_examples=total,
        mean_bytes=max(1, size // total),
        sha256=digest.hexdigest(),
        info=first_info,
        spec=spec,
        limits=limits,
    )


def record_files(patterns: str, flag: str) -> list[str]:
    """The record files of a flag, without the JSON files that describe them.

    Raises:
      UserError: A pattern matches no file.
    """
    return expand_globs(patterns, flag, is_record_name)


def _records(path: str, compression: str) -> Iterator[bytes]:
    """The serialized records of a file; a damaged one is a UserError that names its position."""
    position = 0
    try:
        for record in tf.data.TFRecordDataset(path, compression_type=compression):
            yield record.numpy()
            position += 1
    except tf.errors.OpError as error:
        raise UserError(
            f"{path}: record {position + 1} is corrupt or cut off ({error.message.splitlines()[0]})."
        ) from error


def _check_records(
    path: str,
    compression: str,
    spec: FeatureSpec,
    limits: Mapping[str, Limit],
    count: int | None = None,
) -> None:
    """Looks at the first `count` records, or at all, one by one; names the first that is bad."""
    is_empty = True
    for number, record in enumerate(itertools.islice(_records(path, compression), count), 1):
        is_empty = False
        if fault := _fault(record, spec, limits):
            raise UserError(f"{path}, record {number}: {fault}.")
    if is_empty:
        raise UserError(f"{path}: no records in it.")


def _fault(record: bytes, spec: FeatureSpec, limits: Mapping[str, Limit]) -> str | None:
    """What is wrong about one record, if anything."""
    example = tf.train.Example()
    try:
        example.ParseFromString(record)
    except DecodeError:
        return "it is no tf.train.Example; pass files of such records"
    features = example.features.feature
    for name, feature in spec.items():
        if name not in features:
            return f'it has no feature "{name}"; it has {", ".join(sorted(features)) or "none"}'
        kind = features[name].WhichOneof("kind")
        values = getattr(features[name], kind or "int64_list").value
        if len(values) != np.prod(feature.shape, dtype=int):
            return (
                f'feature "{name}" has {len(values)} values, this run expects '
                f"{np.prod(feature.shape, dtype=int)}; pass the max_seq_length and "
                "max_predictions_per_seq the records were made with"
            )
        if kind != ("int64_list" if feature.dtype == tf.int64 else "float_list"):
            return f'feature "{name}" is a {kind}, this run expects {feature.dtype.name} values'
        array = np.array(values)
        bad = np.flatnonzero(~_are_good(array, limits.get(name)))
        if bad.size:
            what = "a finite number"
            if limit := limits.get(name):
                what = f"0 to {limit.size - 1} ({limit.reason})"
            return (
                f'feature "{name}" holds {array[bad[0]]} at position {bad[0]}, expected {what}; '
                "create the records for this model, or leave this one out"
            )
    return None


def _are_good(values: np.ndarray, limit: Limit | None) -> np.ndarray:
    if values.dtype.kind == "f":
        return np.isfinite(values)
    return (values >= 0) & (values < limit.size) if limit else np.ones(values.shape, bool)


def _checked_count(
    path: str, compression: str, spec: FeatureSpec, limits: Mapping[str, Limit]
) -> int:
    """The number of records, of which each was checked: whole batches at a time, as that is fast."""

    @_as_written
    def check(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        are_good = [tf.constant(True)]
        for name, values in tf.io.parse_example(serialized, dict(spec)).items():
            if values.dtype.is_floating:
                are_good.append(tf.reduce_all(tf.math.is_finite(values)))
            elif name in limits:
                are_good.append(tf.reduce_min(values) >= 0)
                are_good.append(tf.reduce_max(values) < limits[name].size)
        return tf.size(serialized), tf.reduce_all(are_good)

    records = _interleaved([path], [compression], cycle=1).batch(_CHECKED_ROWS)
    records = records.map(check, num_parallel_calls=PARALLEL_CALLS).with_options(_options())
    count = 0
    try:
        for num_rows, are_good in records:
            if not are_good:
                break
            count += int(num_rows)
        else:
            return count
    except _RECORD_ERRORS as error:
        logging.debug("%s", error)
    _check_records(path, compression, spec, limits)
    raise UserError(f"{path}: TensorFlow cannot parse its records; create the file again.")


@contextlib.contextmanager
def damage_named(*record_sets: RecordSet) -> Iterator[None]:
    """Turns the error about a bad record into one that names file and record.

    Of files with a sidecar only size, digest and first record are checked before a run; what else
    may be wrong shows up when a record is read or used, and then the files are looked through.

    Raises:
      UserError: In place of the reader's or the model's error.
    """
    try:
        yield
    except _RECORD_ERRORS:
        for records in record_sets:
            for path, compression in zip(records.files, records.compressions, strict=True):
                _check_records(path, compression, records.spec, records.limits)
        raise


def training_batches(
    records: RecordSet,
    spec: FeatureSpec,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    group_by_length: bool = False,
) -> tf.data.Dataset:
    """Endless batches from step `start_step` on, in an order given by the seed.

    Every epoch shuffles the files and, within a buffer, their records; each record is seen once an
    epoch, and a batch may span two epochs.

    Args:
      records: From `open_records`.
      spec: Features to parse; int64 arrive as int32, as the original casts them.
      batch_size: Examples per batch over all replicas.
      seed: Decides the order.
      start_step: Number of batches to leave out; whole epochs are skipped without reading.
      group_by_length: Sort the examples of some batches by the number of tokens, cut each batch to
        its longest example, and shuffle the batches. The examples are the same; padding is not
        computed. Only where `training.strategy.lengths_may_vary`.

    Returns:
      Batches of Tensors [batch_size, ...] of static shape; the length axis of grouped ones varies by
      batch.
    """
    window = _length_window(records.num_examples, batch_size) if group_by_length else 1
    first_window, first_batch = divmod(start_step, window)
    consumed = first_window * window * batch_size
    first_epoch, first_record = divmod(consumed, records.num_examples)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    dataset = epochs.flat_map(lambda epoch: _shuffled_epoch(records, seed, epoch))
    dataset = dataset.skip(first_record).batch(window * batch_size, drop_remainder=True)
    dataset = dataset.map(lambda x: _parse(x, spec), num_parallel_calls=PARALLEL_CALLS)
    if group_by_length:
        dataset = dataset.enumerate(start=first_window)
        dataset = dataset.map(
            lambda i, window_rows: _sorted_batches(window_rows, batch_size, [seed, i]),
            num_parallel_calls=PARALLEL_CALLS,
        )
        dataset = dataset.unbatch().skip(first_batch).map(_cut_padding)
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return dataset.apply(endless).prefetch(tf.data.AUTOTUNE).with_options(_options())


def _length_window(num_examples: int, batch_size: int) -> int:
    """How many batches to form at a time: equal parts of an epoch, none above `LENGTH_WINDOW`.

    Batches of a window come in any order, so a run that ends inside one has not seen all of its
    examples; with windows that end where epochs do, it has (up to an incomplete batch).
    """
    per_epoch = max(1, num_examples // batch_size)
    return per_epoch // -(-per_epoch // LENGTH_WINDOW)


def read_feature(records: RecordSet, spec: FeatureSpec, name: str) -> np.ndarray:
    """One feature of every record, [num_examples, ...], in the order of the files."""
    dataset = _interleaved(records.files, records.compressions, cycle=1).batch(1024)
    values = [_parse(rows, {name: spec[name]})[name].numpy() for rows in dataset]
    return np.concatenate(values)


def evaluation_batches(
    records: RecordSet, spec: FeatureSpec, batch_size: int, group_by_length: bool = False
) -> tf.data.Dataset:
    """Every example exactly once, each batch full.

    Missing rows are filled with copies of a real one (grouped by length, they stand in any batch).
    The features `row` (int64, position of the example in the files) and `is_real_row` (1.0, or 0.0
    for such copies) are added.

    Args:
      records: From `open_records`.
      spec: Features to parse.
      batch_size: Examples per batch over all replicas.
      group_by_length: As in `training_batches`; rows then come in another order, which `row` tells.
        Short examples come in batches of several times `batch_size`, with no more tokens than a batch
        of full length: weights are converted and loaded once per batch.
    """
    window = (LENGTH_WINDOW if group_by_length else 1) * batch_size
    dataset = _interleaved(records.files, records.compressions, cycle=1)
    dataset = dataset.enumerate().batch(window)
    dataset = dataset.map(
        lambda rows, serialized: (rows, _parse(serialized, spec)),
        num_parallel_calls=PARALLEL_CALLS,
    )
    return _full_batches(dataset, batch_size, group_by_length)


def array_batches(
    features: Mapping[str, np.ndarray], batch_size: int, group_by_length: bool = False
) -> tf.data.Dataset:
    """`evaluation_batches` of rows in memory: name -> [num_examples, ...]."""
    dataset = tf.data.Dataset.from_tensor_slices(dict(features))
    window = (LENGTH_WINDOW if group_by_length else 1) * batch_size
    dataset = dataset.enumerate().batch(window)
    return _full_batches(dataset, batch_size, group_by_length)


def _full_batches(
    windows: tf.data.Dataset, batch_size: int, group_by_length: bool
) -> tf.data.Dataset:
    """(row numbers, rows) of windows -> full batches with `row` and `is_real_row`."""

    def batches_of(rows: tf.Tensor, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = {**batch, "row": rows, "is_real_row": tf.ones_like(rows, tf.float32)}
        return _sorted_batches(_filled(batch, batch_size), batch_size, None, group_by_length)

    dataset = windows.map(batches_of, num_parallel_calls=PARALLEL_CALLS).unbatch()
    if group_by_length:
        full_length = dataset.element_spec["input_mask"].shape[1]
        dataset = dataset.map(_cut_padding).group_by_window(
            key_func=lambda batch: tf.shape(batch["input_mask"], tf.int64)[1],
            reduce_func=lambda _, group: group.batch(full_length).map(_joined),
            window_size_func=lambda length: full_length // length,
        )
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # TensorFlow's search for numbers of threads gains nothing here, and the end of an iterator often
    # waits until the searching thread wakes up, which sleeps twice as long each time: 3 seconds
    # after 7, 10 after 10, at most a minute.
    options.autotune.enabled = False
    # `training.strategy.distribute` has divided the rows when TensorFlow gets the data set.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


@_as_written
def _interleaved(files: Any, compressions: Any, cycle: int) -> tf.data.Dataset:
    dataset = tf.data.Dataset.from_tensor_slices(
        (tf.convert_to_tensor(files), tf.convert_to_tensor(compressions))
    )

    def read(path: tf.Tensor, compression: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path, compression_type=compression, buffer_size=1 << 20)

    if cycle == 1:
        return dataset.flat_map(read)
    return dataset.interleave(read, cycle_length=cycle, num_parallel_calls=2, deterministic=True)


@_as_written
def _shuffled_epoch(records: RecordSet, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
    key = tf.stack([tf.constant(seed, tf.int64), epoch])
    order = tf.random.experimental.stateless_shuffle(tf.range(len(records.files)), key)
    dataset = _interleaved(
        tf.gather(records.files, order),
        tf.gather(records.compressions, order),
        cycle=min(16, len(records.files)),
    )
    buffer = max(1, min(records.num_examples, SHUFFLE_BYTES // records.mean_bytes))
    shuffle_seed = tf.random.stateless_uniform([], key, 0, np.iinfo(np.int64).max, tf.int64)
    return dataset.shuffle(buffer, seed=shuffle_seed, reshuffle_each_iteration=False)


@_as_written
def _parse(serialized: tf.Tensor, spec: FeatureSpec) -> dict[str, tf.Tensor]:
    batch = tf.io.parse_example(serialized, dict(spec))
    return {
        name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
        for name, value in batch.items()
    }


def _filled(batch: dict[str, tf.Tensor], batch_size: int) -> dict[str, tf.Tensor]:
    """Repeats the first row until the rows are a multiple of `batch_size`."""
    rows = tf.shape(batch["row"])[0]
    missing = -rows % batch_size
    filled = {
        name: tf.concat([value, tf.repeat(value[:1], missing, axis=0)], axis=0)
        for name, value in batch.items()
    }
    filled["is_real_row"] = tf.concat([batch["is_real_row"], tf.zeros([missing])], axis=0)
    return filled


def _lengths(batch: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.reduce_sum(batch["input_mask"], axis=-1)


@_as_written
def _sorted_batches(
    rows: dict[str, tf.Tensor], batch_size: int, seed: Any, by_length: bool = True
) -> dict[str, tf.Tensor]:
    """[n * batch_size, ...] -> [n, batch_size, ...], of similar lengths, in an order by the seed."""
    if by_length:
        order = tf.argsort(_lengths(rows), stable=True)
        rows = {name: tf.gather(value, order) for name, value in rows.items()}
    batches = {
        name: tf.reshape(value, tf.concat([[-1, batch_size], tf.shape(value)[1:]], axis=0))
        for name, value in rows.items()
    }
    for name, value in rows.items():
        batches[name] = tf.ensure_shape(batches[name], [None, batch_size, *value.shape[1:]])
    if seed is not None:
        count = tf.shape(next(iter(batches.values())))[0]
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)
        batches = {name: tf.gather(value, order) for name, value in batches.items()}
    return batches


@_as_written
def _joined(batches: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """[n, batch_size, ...] -> [n * batch_size, ...]."""
    return {
        name: tf.reshape(value, tf.concat([[-1], tf.shape(value)[2:]], axis=0))
        for name, value in batches.items()
    }


@_as_written
def _cut_padding(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Cuts the columns in which every row of the batch has padding."""
    full = tf.shape(batch["input_mask"])[1]
    longest = tf.reduce_max(_lengths(batch))
    rounded = (longest + LENGTH_MULTIPLE - 1) // LENGTH_MULTIPLE * LENGTH_MULTIPLE
    length = tf.minimum(rounded, full)
    sequences = ("input_ids", "input_mask", "segment_ids")
    return {
        name: value[:, :length] if name in sequences else value for name, value in batch.items()
    }
