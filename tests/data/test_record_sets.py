"""Sets of record files: what they hold, and which are refused."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numbered_records import SPEC, rows, write_records

from common.errors import UserError
from common.file_facts import FileFacts
from common.files import last_change
from data import record_sets, sidecars
from data.batches import (
    evaluation_batches,
    training_batches,
)
from data.record_sets import Limit, RecordSet, explain_damaged_record, open_records
from data.sidecars import sidecar_path, write_sidecar
from data.tfrecords import RecordWriter, serialize_examples


def test_open_records_counts_and_recognizes_compression(several_files: RecordSet) -> None:
    assert several_files.num_examples == 130
    assert several_files.compressions == ("", "GZIP", "")
    assert several_files.info["num_examples"] == 20
    sizes = [Path(path).stat().st_size for path in several_files.files]
    assert several_files.mean_bytes == sum(sizes) // 130


def test_shards_are_every_nth_file(several_files: RecordSet) -> None:
    """Files of 20, 63 and 47 records for two workers."""
    shards = [several_files.sharded(2).shard(index) for index in range(2)]
    first, second, third = several_files.files
    assert [shard.files for shard in shards] == [(first, third), (second,)]
    assert [shard.compressions for shard in shards] == [("", ""), ("GZIP",)]
    assert [shard.num_examples for shard in shards] == [67, 63]


def test_shards_are_another_run(several_files: RecordSet) -> None:
    contents = [several_files.sharded(n).content("input_file") for n in (1, 2, 3)]
    assert contents[0] == several_files.content("input_file")
    assert len({content.sha256 for content in contents}) == 3
    assert contents[2].source == "--input_file (130 records, in shards for 3 workers)"


def test_more_workers_than_files(several_files: RecordSet) -> None:
    with pytest.raises(UserError, match="--shard_files: 3 record files for 4 workers"):
        several_files.sharded(4)


def test_missing_feature(tmp_path: Path) -> None:
    features = rows(0, 3)
    del features["segment_ids"]
    path = write_records(tmp_path / "a.tfrecord", features)
    with pytest.raises(UserError, match=r'a\.tfrecord.*no feature "segment_ids"; it has inp'):
        open_records(path, "input_file", SPEC, {})


def test_other_length(tmp_path: Path) -> None:
    features = rows(0, 3)
    features["input_mask"] = features["input_mask"][:, :-1]
    path = write_records(tmp_path / "a.tfrecord", features)
    with pytest.raises(
        UserError, match='a.tfrecord, record 1: feature "input_mask" has 39 .* expects 40'
    ):
        open_records(path, "input_file", SPEC, {})


def test_other_settings_in_a_later_file(tmp_path: Path) -> None:
    for name, sha256 in (("a", "old"), ("b", "new")):
        path = write_records(tmp_path / f"{name}.tfrecord", rows(0, 3))
        write_sidecar(path, {"num_examples": 3, "vocab_sha256": sha256})
    pattern = f"{tmp_path}/*.tfrecord"
    with pytest.raises(UserError, match=r"b\.tfrecord was made with vocab_sha256 = new.* has old"):
        open_records(pattern, "input_file", SPEC, {"vocab_sha256": "old"})
    # What the run or the sidecar does not know cannot contradict.
    unknown = {"vocab_sha256": None, "do_lower_case": True}
    assert open_records(pattern, "input_file", SPEC, unknown).num_examples == 6


def test_files_are_read_through_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another tool, and those that are younger than their sidecars, as copies may be."""
    copied = write_records(tmp_path / "copied.tfrecord", rows(0, 3))
    while last_change(copied) <= last_change(sidecar_path(copied)):
        os.utime(copied)  # The clock of files is a coarse one.
    foreign = write_records(tmp_path / "foreign.tfrecord", rows(3, 4))
    Path(sidecar_path(foreign)).unlink()
    write_records(tmp_path / "ours.tfrecord", rows(7, 5))
    read: list[str] = []
    for module, name in ((sidecars, "sha256_file"), (record_sets, "_checked_count")):
        original = getattr(module, name)

        def note(path: str, *args: Any, original: Any = original) -> Any:
            read.append(Path(path).stem)
            return original(path, *args)

        monkeypatch.setattr(module, name, note)
    found = set()
    for _ in range(2):
        facts = FileFacts(str(tmp_path))
        records = open_records(f"{tmp_path}/*.tfrecord", "input_file", SPEC, {}, facts=facts)
        facts.save()
        found.add((records.sha256, records.counts))
    assert len(found) == 1 and records.counts == (3, 4, 5)
    assert sorted(read) == ["copied", "foreign", "foreign"]
    # Other limits are another check.
    with pytest.raises(UserError, match=r"foreign.tfrecord, record 1: .*expected 0 to 2 \(x\)"):
        open_records(
            foreign, "input_file", SPEC, {}, {"label_ids": Limit(3, "x")}, FileFacts(str(tmp_path))
        )


def test_file_cut_short(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecord", rows(0, 20))
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
    write_records(tmp_path / "a.tfrecord", rows(0, 20))
    write_records(tmp_path / "b.tfrecord", rows(20, 20))
    whole = open_records(str(tmp_path / "a.tfrecord"), "eval_file", SPEC, {})
    path = tmp_path / "c.tfrecord"
    write_records(path, rows(40, 20), compress=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(gzip.compress(data) if compress else data)
    write_sidecar(str(path), {"num_examples": 20})
    records = open_records(f"{tmp_path}/*.tfrecord", "input_file", SPEC, {})
    with (
        pytest.raises(UserError, match=r"c\.tfrecord: record 1[01] is corrupt or cut off"),
        explain_damaged_record(whole, records),
    ):
        list(training_batches(records, batch_size=10, seed=1).take(6))


def test_other_errors_are_not_taken_for_damage(one_file: RecordSet) -> None:
    with pytest.raises(ZeroDivisionError), explain_damaged_record(one_file):
        _ = 1 / 0


def test_compressed_file_cut_short(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecord", rows(0, 20), compress=True)
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
    path = write_records(tmp_path / "a.tfrecord", rows(0, 3))
    Path(sidecar_path(path)).write_text(json.dumps({"num_examples": 3})[:-1])
    with pytest.raises(UserError, match=r"a\.tfrecord\.json, line 1.*not valid JSON"):
        open_records(path, "input_file", SPEC, {})


@pytest.mark.parametrize("pattern", ["{}/a.tfrecord*", "{}/*", "{}", "{}/**"])
def test_sidecars_are_no_records(tmp_path: Path, pattern: str) -> None:
    """Nor are those of earlier versions, or the manifest of soft labels."""
    path = write_records(tmp_path / "a.tfrecord", rows(0, 3))
    second = write_records(tmp_path / "a.tfrecord2", rows(3, 4))
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
    write_records(tmp_path / "a.tfrecord", rows(0, 700))
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
    path = write_records(tmp_path / "a.tfrecord", rows(999, 2))
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
    [batch] = evaluation_batches(records, 9)
    np.testing.assert_array_equal(batch["label_ids"], np.arange(9))


@pytest.mark.parametrize(("module", "kind"), [(bz2, "bzip2"), (lzma, "xz")])
def test_compression_that_tensorflow_cannot_read(tmp_path: Path, module: Any, kind: str) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(module.compress(Path(write_records(path, rows(0, 9))).read_bytes()))
    with pytest.raises(
        UserError, match=rf"a\.tfrecord is compressed with {kind}, which TensorFlow"
    ):
        open_records(str(path), "input_file", SPEC, {})


def test_digest_is_that_of_the_content(tmp_path: Path) -> None:
    """Not of names, nor of how often it was looked at; a file without a sidecar has one, too."""
    first, second = (
        write_records(tmp_path / name, rows(0, 3)) for name in ("a.tfrecord", "b.tfrecord")
    )
    digests = {open_records(path, "input_file", SPEC, {}).sha256 for path in (first, second)}
    Path(sidecar_path(first)).unlink()
    digests.add(open_records(first, "input_file", SPEC, {}).sha256)
    assert len(digests) == 1
    digests.add(open_records(f"{first},{second}", "input_file", SPEC, {}).sha256)
    write_records(Path(first), rows(1, 3))
    digests.add(open_records(first, "input_file", SPEC, {}).sha256)
    digests.add(open_records(f"{first},{second}", "input_file", SPEC, {}).sha256)
    assert len(digests) == 4


def test_file_written_over_the_one_of_its_sidecar(tmp_path: Path) -> None:
    """Of the same size, and with the time of the earlier one."""
    path = Path(write_records(tmp_path / "a.tfrecord", rows(0, 3)))
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
