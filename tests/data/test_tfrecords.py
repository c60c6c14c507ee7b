"""TFRecord files written without TensorFlow, read by TensorFlow."""

import gzip
import hashlib
import os

import numpy as np
import pytest

from common.errors import UserError
from data.sidecars import read_sidecar, write_sidecar
from data.tfrecords import RecordWriter, first_record, serialize_examples


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


@pytest.fixture
def features():
    """Rows of all encodings, with integers on both sides of every varint boundary."""
    rng = np.random.default_rng(0)
    boundaries = [0, 1, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**35, 2**63 - 1]
    return {
        "wide": rng.choice(boundaries, (300, 40)),
        "small": rng.integers(0, 2, (300, 500), dtype=np.int32),
        "flags": rng.random((300, 3)) < 0.5,
        "scalar": np.arange(300, dtype=np.uint16),
        "zeros": np.zeros((300, 2), np.int64),
        "empty": np.zeros((300, 0), np.int64),
        "weights": rng.standard_normal((300, 20)).astype(np.float32),
        "score": rng.standard_normal(300),
        "id": np.array([b"row-%d" % i * (i % 70) for i in range(300)], dtype=object),
    }


def test_examples_parse_to_the_same_values(tf, features):
    for i, record in enumerate(serialize_examples(features)):
        parsed = tf.train.Example.FromString(record).features.feature
        assert set(parsed) == set(features)
        for name in ("wide", "small", "flags", "zeros", "empty"):
            assert parsed[name].int64_list.value == features[name][i].tolist()
        assert parsed["scalar"].int64_list.value == [i]
        assert parsed["weights"].float_list.value == features["weights"][i].tolist()
        assert parsed["score"].float_list.value == [np.float32(features["score"][i])]
        assert parsed["id"].bytes_list.value == [features["id"][i]]


def test_examples_have_the_very_bytes_of_tensorflow(tf, features):
    """One feature each, for the order of several is not defined."""
    for name in ("wide", "small", "weights", "id"):
        for record in serialize_examples({name: features[name]})[::17]:
            example = tf.train.Example.FromString(record)
            assert example.SerializeToString(deterministic=True) == record


def test_parse_example_reads_a_batch(tf, features):
    spec = {
        "wide": tf.io.FixedLenFeature([40], tf.int64),
        "weights": tf.io.FixedLenFeature([20], tf.float32),
        "id": tf.io.FixedLenFeature([], tf.string),
    }
    parsed = tf.io.parse_example(serialize_examples(features), spec)
    for name in spec:
        np.testing.assert_array_equal(parsed[name].numpy(), features[name])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[1, -1]]), "negative"),
        (np.zeros((2, 2, 2), np.int64), "no encoding for int64"),
        (np.array([1j]), "no encoding for complex"),
        (np.array(["text"]), "no encoding for <U4"),
    ],
)
def test_unsupported_values(values, message):
    with pytest.raises(ValueError, match=message):
        serialize_examples({"x": values})


def test_no_rows():
    features = {"x": np.zeros((0, 3), np.int64), "y": np.zeros(0), "z": np.zeros(0, np.int32)}
    assert serialize_examples(features) == []


def test_features_of_different_length():
    with pytest.raises(ValueError):
        serialize_examples({"x": np.zeros(2, np.int64), "y": np.zeros(3, np.int64)})


@pytest.mark.parametrize("gzip_compress", [False, True])
def test_file_is_what_tensorflow_reads_and_writes(tf, tmp_path, gzip_compress):
    records = [b"", b"x", os.urandom(300), bytes(100_000)]
    path = str(tmp_path / "a.tfrecord")
    with RecordWriter(path, gzip_compress) as writer:
        writer.write(records[0])
        writer.write_many(records[1:])
    assert writer.num_records == 4
    compression = "GZIP" if gzip_compress else ""
    dataset = tf.data.TFRecordDataset(path, compression_type=compression)
    assert list(dataset.as_numpy_iterator()) == records

    with tf.io.TFRecordWriter(path + ".theirs") as theirs:
        for record in records:
            theirs.write(record)
    opener = gzip.open if gzip_compress else open
    with opener(path, "rb") as ours, open(path + ".theirs", "rb") as expected:
        assert ours.read() == expected.read()


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
@pytest.mark.parametrize("record", [b"", b"x", os.urandom(300_000)])
def test_first_record(tf, tmp_path, compression, record):
    path = str(tmp_path / "a.tfrecord")
    with tf.io.TFRecordWriter(path, compression) as writer:
        writer.write(record)
        writer.write(b"another")
    assert first_record(path, compression) == record


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-5],
        lambda data: b"\xff" + data[1:],  # the length
        lambda data: data[:9] + b"\xff" + data[10:],  # its checksum
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
)
@pytest.mark.parametrize("gzip_compress", [False, True])
def test_first_record_is_damaged_or_missing(tmp_path, change, gzip_compress):
    path = tmp_path / "a.tfrecord"
    with RecordWriter(str(path)) as writer:
        writer.write(os.urandom(300))
    data = change(path.read_bytes())
    path.write_bytes(gzip.compress(data) if gzip_compress else data)
    assert first_record(str(path), "GZIP" if gzip_compress else "") is None


def test_compressed_bytes_are_reproducible(tmp_path, monkeypatch):
    contents = set()
    for name, now in (("a", 1e9), ("b", 1.5e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        with RecordWriter(str(tmp_path / name), gzip_compress=True) as writer:
            writer.write(b"record")
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_failure_leaves_the_earlier_file_and_its_sidecar(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    with RecordWriter(path) as writer:
        writer.write(b"earlier")
    write_sidecar(path, {"num_examples": 1})
    before = (tmp_path / "a.tfrecord").read_bytes()
    with pytest.raises(RuntimeError), RecordWriter(path) as writer:
        writer.write(b"later")
        raise RuntimeError
    assert (tmp_path / "a.tfrecord").read_bytes() == before
    assert read_sidecar(path) == {
        "num_examples": 1,
        "file_size": len(before),
        "file_mtime_ns": os.stat(path).st_mtime_ns,
        "file_sha256": hashlib.sha256(before).hexdigest(),
    }
    assert sorted(os.listdir(tmp_path)) == [".a.tfrecord.json", "a.tfrecord"]


def test_file_that_cannot_be_created(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"), RecordWriter(str(tmp_path / "file" / "a")):
        pass
