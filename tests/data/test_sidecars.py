"""What stands beside record files, and files that it says to be whole."""

import json
import os
import shutil
import time

import pytest

from common.errors import UserError
from common.file_facts import FileFacts
from common.files import sha256_file
from data import sidecars
from data.sidecars import is_finished, read_sidecar, records_digest, sidecar_path, write_sidecar
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


def finished(path, data=b"record"):
    with RecordWriter(str(path)) as writer:
        writer.write(data)
    write_sidecar(str(path), {"num_examples": 1})
    return str(path)


def copied(path, to, copy):
    """The record file first, so that its copy is not younger than that of the sidecar."""
    copy(path, to)
    copy(sidecar_path(path), sidecar_path(str(to)))
    return str(to)


def digest(path):
    return records_digest(path, read_sidecar(path) or {}, FileFacts())


@pytest.mark.parametrize("copy", [shutil.copyfile, shutil.copy2])
def test_changed_file_is_not_trusted_for_having_been_copied(tmp_path, copy):
    path = finished(tmp_path / "a")
    time.sleep(0.02)  # The clock of files is a coarse one.
    data = bytearray((tmp_path / "a").read_bytes())
    data[-5] ^= 1
    (tmp_path / "a").write_bytes(data)
    for changed in (path, copied(path, tmp_path / "b", copy)):
        with pytest.raises(UserError, match=f"{changed} is corrupt or was overwritten"):
            digest(changed)


def test_files_are_read_where_their_time_is_not_that_of_the_sidecar(tmp_path, monkeypatch):
    path = finished(tmp_path / "a")
    with_time = copied(path, tmp_path / "b", shutil.copy2)
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1_000_000))
    without_time = copied(path, tmp_path / "c", shutil.copyfile)
    read = []

    def noted(path):
        read.append(path)
        return sha256_file(path)

    monkeypatch.setattr(sidecars, "sha256_file", noted)
    assert digest(path) == digest(with_time) == digest(without_time) == sha256_file(path)
    assert read == [path, without_time]
    info = {**(read_sidecar(with_time) or {})}
    del info["file_mtime_ns"]  # As in earlier versions.
    facts = FileFacts()
    assert records_digest(with_time, info, facts) == records_digest(with_time, info, facts)
    assert read == [path, without_time, with_time]
