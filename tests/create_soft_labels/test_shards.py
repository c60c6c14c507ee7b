"""Interrupted runs, and processes that share the work."""

from __future__ import annotations

import logging
import pathlib
import shutil
from typing import Any

import pytest
from runs import contents, filled
from scripts import run_script

from common.errors import UserError
from distillation import labelling
from distillation.soft_labels import check_earlier_shards


def test_interrupted_run_continues(
    options: dict[str, Any], soft_labels: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(soft_labels, folder)
    # As if the run had been killed in the last shard, and the first had been cut short since.
    for name in (
        "soft_labels.json",
        "soft_labels-00002.tfrecord",
        ".soft_labels-00002.tfrecord.json",
    ):
        (folder / name).unlink()
    damaged = folder / "soft_labels-00000.tfrecord"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    finished = [folder / name.format("soft_labels-00001.tfrecord") for name in ("{}", ".{}.json")]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in finished]
    run_script("create_soft_labels", **options, output_dir=folder)
    assert contents(folder) == contents(soft_labels)
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in finished] == before


def test_nothing_is_written_beside_the_shards_of_another_teacher(
    options: dict[str, Any],
    soft_labels: pathlib.Path,
    other_teacher: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(soft_labels, folder)
    for name in (
        "soft_labels.json",
        "soft_labels-00000.tfrecord",
        ".soft_labels-00000.tfrecord.json",
    ):
        (folder / name).unlink()
    before = contents(folder)
    with pytest.raises(UserError, match="00001.tfrecord was made with teacher_weights_sha256 = "):
        run_script(
            "create_soft_labels",
            **{**options, "init_checkpoint": other_teacher},
            output_dir=folder,
        )
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"init_checkpoint": "{other_teacher}"},
            "00000.tfrecord was made with teacher_weights_sha256 = ",
        ),
        ({"max_seq_length": 12}, "was made with max_seq_length = 16, this run has 12"),
        ({"input_file": "{transfer_file}"}, "was made with transfer_set_sha256 = "),
        ({"examples_per_shard": 50}, "was made with examples_per_shard = "),
    ],
)
def test_finished_set_is_not_mixed_with_another(
    options: dict[str, Any],
    soft_labels: pathlib.Path,
    other_teacher: pathlib.Path,
    transfer_file: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    before = contents(soft_labels)
    changes = filled(changes, other_teacher=other_teacher, transfer_file=transfer_file)
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **{**options, **changes}, output_dir=soft_labels)
    assert contents(soft_labels) == before


def test_processes_share_the_work(
    options: dict[str, Any],
    soft_labels: pathlib.Path,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Any order; the last one, or one more call, completes what one process would have written."""
    caplog.set_level(logging.INFO)
    for index in (1, 0):
        share = {"num_shards": 2, "shard_index": index}
        run_script("create_soft_labels", **options, **share, output_dir=tmp_path)
        done = {f"soft_labels-0000{i}.tfrecord" for i in ([1] if index else [0, 1, 2])}
        manifest = set() if index else {"soft_labels.json"}
        assert set(contents(tmp_path)) == done | {f".{name}.json" for name in done} | manifest
    assert "2 of 3 shards are missing or hold other texts; the first is " in caplog.text
    assert "00000.tfrecord, the work of --shard_index=0;" in caplog.text
    assert contents(tmp_path) == contents(soft_labels)

    # A process that finds its own share whole labels nothing, and completes the set.
    (tmp_path / "soft_labels.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    share = {"num_shards": 5, "shard_index": 4}
    run_script("create_soft_labels", **options, **share, output_dir=tmp_path)
    assert contents(tmp_path) == contents(soft_labels)
    assert {path: path.stat().st_mtime_ns for path in before} == before

    # A damaged shard of another process is missing, too.
    damaged = tmp_path / "soft_labels-00001.tfrecord"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (tmp_path / "soft_labels.json").unlink()
    share = {"num_shards": 2, "shard_index": 0}
    run_script("create_soft_labels", **options, **share, output_dir=tmp_path)
    assert "1 of 3 shards are missing" in caplog.text
    assert not (tmp_path / "soft_labels.json").exists()
    run_script("create_soft_labels", **options, **{**share, "shard_index": 1}, output_dir=tmp_path)
    assert contents(tmp_path) == contents(soft_labels)


def test_processes_of_different_settings_do_not_make_one_set(
    options: dict[str, Any],
    other_teacher: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when they begin at the same time, before either has written anything."""
    share = {"num_shards": 2, "output_dir": tmp_path}
    run_script("create_soft_labels", **options, **share, shard_index=0)
    other = {**options, "init_checkpoint": other_teacher, "shard_index": 1}
    message = "00000.tfrecord was made with teacher_weights_sha256 = "
    before = contents(tmp_path)
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **{**other, **share})
    assert contents(tmp_path) == before

    checks = []

    def check_at_the_end(*args: Any) -> None:
        checks.append(args)
        if len(checks) > 1:
            check_earlier_shards(*args)

    monkeypatch.setattr(labelling, "check_earlier_shards", check_at_the_end)
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **{**other, **share})
    assert len(checks) == 2
    assert not (tmp_path / "soft_labels.json").exists()
