"""Shares of the work, and labelling as a call from Python."""

from __future__ import annotations

import json
import pathlib

import pytest
from runs import read_set

from common.errors import UserError
from common.outputs import release_locks
from distillation import labelling
from distillation.labelling import LabellingOptions, parse_shard_index


@pytest.mark.parametrize(
    ("index", "number", "position"), [(None, 1, 0), (0, 1, 0), (0, 4, 0), (3, 4, 3)]
)
def test_position_of_a_process(index: int | None, number: int, position: int) -> None:
    assert parse_shard_index(index, number) == position


@pytest.mark.parametrize(
    ("index", "number", "message"),
    [
        (None, 4, "--num_shards=4 needs --shard_index, from 0 to 3"),
        (4, 4, "--shard_index is 4; with --num_shards=4, .* 0 to 3"),
        (-1, 4, "--shard_index is -1; with --num_shards=4"),
        (1, 1, "--shard_index is 1; with --num_shards=1, it must be from 0 to 0"),
    ],
)
def test_shares_out_of_range(index: int | None, number: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_shard_index(index, number)


def test_whoever_ends_last_completes_the_set(
    tmp_path: pathlib.Path, vocab_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of five texts in shards of two, the second process has the one in the middle."""
    caplog.set_level("INFO")
    rows = "".join(
        f"film {word},{i}\n" for i, word in enumerate(["good", "bad", "great", "poor", "dull"])
    )
    (tmp_path / "scores.csv").write_text("text,score\n" + rows)
    out = tmp_path / "out"
    for index in (0, 1):
        options = LabellingOptions(
            from_file=str(tmp_path / "scores.csv"),
            vocab_file=vocab_file,
            max_seq_length=16,
            examples_per_shard=2,
            num_shards=2,
            shard_index=index,
            output_dir=str(out),
        )
        labelling.run(options)
        release_locks()
        shards = sorted(path.name for path in out.glob("*.tfrecord"))
        own = (0, 2) if index == 0 else (0, 1, 2)
        assert shards == [f"soft_labels-0000{i}.tfrecord" for i in own]
        assert (out / "soft_labels.json").exists() == (index == 1)
    assert "1 of 3 shards are missing" in caplog.text and "--shard_index=1;" in caplog.text
    manifest = json.loads((out / "soft_labels.json").read_text())
    assert list(manifest["shards"].values()) == [2, 2, 1]
    assert read_set(out, [])["teacher_logits"][:, 0].tolist() == [0, 1, 2, 3, 4]
