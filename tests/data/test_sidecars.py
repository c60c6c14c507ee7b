"""What stands beside record files, and files that it says to be whole."""

import json

import pytest

from common.errors import UserError
from data.sidecars import is_finished, read_sidecar, write_sidecar
from data.tfrecords import RecordWriter


def test_new_file_does_not_keep_the_earlier_sidecar(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    with RecordWriter(path):
        pass
    write_sidecar(path, {"num_examples": 0})
    with RecordWriter(path) as writer:
        writer.write(b"record")
        assert read_sidecar(path) is not None
    assert read_sidecar(path) is None


def test_sidecar_of_earlier_versions(tmp_path):
    """It had a name that `<file>*` matches; it is read, and goes when a new one is written."""
    path, old = str(tmp_path / "a.tfrecord"), tmp_path / "a.tfrecord.json"
    (tmp_path / "a.tfrecord").write_bytes(b"")
    old.write_text('{"num_examples": 3}')
    assert read_sidecar(path) == {"num_examples": 3}
    write_sidecar(path, {"num_examples": 4})
    info = read_sidecar(path)
    assert info is not None and info["num_examples"] == 4
    assert not old.exists()
    (tmp_path / ".a.tfrecord.json").rename(old)
    with RecordWriter(path):
        pass
    assert read_sidecar(path) is None and not old.exists()


def test_sidecar_that_is_not_json(tmp_path):
    (tmp_path / ".a.json").write_text(json.dumps({"num_examples": 1})[:-1])
    with pytest.raises(UserError, match=r"a\.json, line 1"):
        read_sidecar(str(tmp_path / "a"))


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"num_examples": "3"}',
        '{"num_examples": -1}',
        '{"do_lower_case": "no"}',
        '{"label_counts": [3]}',
        '{"vocab_sha256": 3}',
    ],
)
def test_sidecar_of_another_kind(tmp_path, content):
    (tmp_path / ".a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json"):
        read_sidecar(str(tmp_path / "a"))


def test_finished_files_are_those_that_are_whole_and_made_alike(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    with RecordWriter(path) as writer:
        writer.write(b"record")
    assert not is_finished(path, {})
    write_sidecar(path, {"seed": 1})
    assert is_finished(path, {"seed": 1})
    assert not is_finished(path, {"seed": 2})
    data = (tmp_path / "a.tfrecord").read_bytes()
    for damaged in (data[:-1], data[:-1] + b"?", b""):
        (tmp_path / "a.tfrecord").write_bytes(damaged)
        assert not is_finished(path, {"seed": 1})
    (tmp_path / "a.tfrecord").write_bytes(data)
    (tmp_path / ".a.tfrecord.json").write_text("{")
    assert not is_finished(path, {"seed": 1})
    (tmp_path / "a.tfrecord").unlink()
    assert not is_finished(path, {})
