"""Record files that were checked: their number of examples, digest and limits, before a run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from common.content import Content
from common.errors import UserError
from common.file_facts import FileFacts
from common.files import file_size
from common.input_files import expand_globs
from data.datasets import PARALLEL_CALLS, as_written, dataset_options, interleaved
from data.sidecars import read_sidecar, records_digest
from data.tfrecords import first_record, is_record_name, record_compression
from modeling.config import BertConfig

FeatureSpec = Mapping[str, tf.io.FixedLenFeature]

# Records of another tool are checked in batches of this many.
_CHECKED_ROWS = 512
# Files that are asked about at the same time: remote ones answer slowly.
_PARALLEL_FILES = 16
# What bad ones raise; the last where a message of TensorFlow's quotes their bytes.
_RECORD_ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, UnicodeDecodeError)


class Limit(NamedTuple):
    """Upper limit of an integer feature, whose values start at 0.

    Attributes:
      size: Number of allowed values: 0 to size - 1.
      reason: Source of the limit, for messages.
    """

    size: int
    reason: str


@dataclasses.dataclass(frozen=True)
class RecordSet:
    """TFRecord files that were checked.

    Attributes:
      files: Paths.
      compressions: "", "GZIP" or "ZLIB" for each file.
      counts: Number of records of each file.
      mean_bytes: Mean size of a record on disk.
      sha256: Digest of the digests of all files, in their order.
      info: The sidecar of the first file that has one, empty for files of another tool.
      spec: The features they were checked for.
      limits: Limits of their integer features.
      num_shards: Number of workers of which each reads files of its own; 1 where all read all files.
    """

    files: tuple[str, ...]
    compressions: tuple[str, ...]
    counts: tuple[int, ...]
    mean_bytes: int
    sha256: str
    info: dict[str, Any]
    spec: FeatureSpec
    limits: Mapping[str, Limit]
    num_shards: int = 1

    @property
    def num_examples(self) -> int:
        """Records in all files."""
        return sum(self.counts)

    def content(self, flag: str) -> Content:
        """The records, and in which parts they are read, as a part of a run's identity."""
        if self.num_shards == 1:
            return Content(self.sha256, f"--{flag} ({self.num_examples} records)")
        sha256 = hashlib.sha256(f"{self.sha256} {self.num_shards}".encode()).hexdigest()
        text = f"--{flag} ({self.num_examples} records, in shards for {self.num_shards} workers)"
        return Content(sha256, text)

    def sharded(self, num_shards: int) -> RecordSet:
        """The same records, to be read by that many workers, each from files of its own.

        Raises:
          UserError: There are fewer files than workers.
        """
        if num_shards > len(self.files):
            raise UserError(
                f"--shard_files: {len(self.files)} record files for {num_shards} workers; write "
                f"the records into at least {num_shards} files, or leave the flag out."
            )
        return dataclasses.replace(self, num_shards=num_shards)

    def shard(self, index: int) -> RecordSet:
        """The records of worker `index`: those of every `num_shards`-th file."""
        own = slice(index, None, self.num_shards)
        return dataclasses.replace(
            self,
            files=self.files[own],
            compressions=self.compressions[own],
            counts=self.counts[own],
            num_shards=1,
        )


def value_limits(config: BertConfig, num_labels: int = 0) -> dict[str, Limit]:
    """Limits of the integer features of a record, so that a model can take them.

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
    facts: FileFacts | None = None,
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
      facts: Known facts about files: those that were read through once are not again.

    Raises:
      UserError: Nothing matches, a file is empty, truncated or corrupt, was made with other lengths,
        another vocabulary or other labels, or holds a record that a model cannot take.
    """
    files = record_files(patterns, flag) if isinstance(patterns, str) else list(patterns)
    limits = dict(limits or {})
    facts = facts or FileFacts()
    if "masked_lm_positions" in spec:
        length = spec["input_ids"].shape[0]
        limits["masked_lm_positions"] = Limit(length, "the max_seq_length")
    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        compressions = list(pool.map(record_compression, files))
        infos = [info or {} for info in pool.map(read_sidecar, files)]
        sizes = list(pool.map(file_size, files))
    for path, info, size in zip(files, infos, sizes, strict=True):
        _check_facts(path, info, size, expected)
    _check_first_records(files, compressions, spec, limits)
    checked = hashlib.sha256(repr((sorted(spec.items()), sorted(limits.items()))).encode())
    counts = [
        facts.recall(
            f"number of records, checked by {checked.hexdigest()},",
            path,
            functools.partial(_checked_count, path, compression, spec, limits),
        )
        if (known := info.get("num_examples")) is None
        else known
        for path, compression, info in zip(files, compressions, infos, strict=True)
    ]
    digest = hashlib.sha256()
    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        for sha256 in pool.map(records_digest, files, infos, itertools.repeat(facts)):
            digest.update(f"{sha256}\n".encode())
    return RecordSet(
        files=tuple(files),
        compressions=tuple(compressions),
        counts=tuple(counts),
        mean_bytes=max(1, sum(sizes) // sum(counts)),
        sha256=digest.hexdigest(),
        info=next(filter(None, infos), {}),
        spec=spec,
        limits=limits,
    )


def _check_facts(
    path: str, info: Mapping[str, Any], size: int, expected: Mapping[str, Any]
) -> None:
    """Raises a UserError where a sidecar contradicts its file or the run."""
    if info and info.get("file_size") not in (None, size):
        raise UserError(
            f"{path}: {size} bytes, but it had {info['file_size']} when it was finished; it is "
            "truncated or was overwritten, so create it again."
        )
    for key, value in expected.items():
        if value is not None and info.get(key, value) != value:
            raise UserError(
                f"{path} was made with {key} = {info[key]}, this run has {value}; create the records "
                "again or run with what they were made with."
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


def _check_first_records(
    files: Sequence[str],
    compressions: Sequence[str],
    spec: FeatureSpec,
    limits: Mapping[str, Limit],
) -> None:
    """Looks at the first record of each file."""
    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        found = list(pool.map(first_record, files, compressions))
    for path, compression, record in zip(files, compressions, found, strict=True):
        # Whatever is wrong is named by the reader of single files.
        if record is None or _fault(record, spec, limits):
            _check_records(path, compression, spec, limits, count=1)


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
    """Description of the fault of a record; None for a record without one."""
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


@as_written
def _checked_count(
    path: str, compression: str, spec: FeatureSpec, limits: Mapping[str, Limit]
) -> int:
    """The number of records, of which each was checked: whole batches at a time, as that is fast."""
    logging.info("%s has no sidecar: counting and checking its records.", path)

    @as_written
    def check(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        are_good = [tf.constant(True)]
        for name, values in tf.io.parse_example(serialized, dict(spec)).items():
            if values.dtype.is_floating:
                are_good.append(tf.reduce_all(tf.math.is_finite(values)))
            elif name in limits:
                are_good.append(tf.reduce_min(values) >= 0)
                are_good.append(tf.reduce_max(values) < limits[name].size)
        return tf.size(serialized), tf.reduce_all(are_good)

    records = interleaved([path], [compression], cycle=1).batch(_CHECKED_ROWS)
    records = records.map(check, num_parallel_calls=PARALLEL_CALLS).with_options(dataset_options())
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
def explain_damaged_record(*record_sets: RecordSet) -> Iterator[None]:
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
