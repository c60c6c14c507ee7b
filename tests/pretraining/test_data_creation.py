"""Pre-training records as a call from Python."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import pytest
import tensorflow as tf

from common.errors import UserError
from common.outputs import release_locks
from pretraining.data_creation import DataCreationOptions, run


@pytest.fixture
def options(
    corpus_file: str, vocab_file: str, tmp_path: pathlib.Path
) -> Iterator[DataCreationOptions]:
    yield DataCreationOptions(
        input_file=corpus_file,
        output_file=str(tmp_path / "out.tfrecord"),
        vocab_file=vocab_file,
        max_seq_length=24,
        max_predictions_per_seq=4,
        dupe_factor=1,
        num_processes=1,
    )
    release_locks()


def test_what_is_made_already_stays(
    options: DataCreationOptions, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(options)
    made = (tmp_path / "out.tfrecord").stat()
    sidecar = json.loads((tmp_path / ".out.tfrecord.json").read_text())
    assert sidecar["num_examples"] == sum(1 for _ in tf.data.TFRecordDataset(options.output_file))
    assert (sidecar["dupe_factor"], sidecar["num_documents"]) == (1, 60)
    run(options)
    assert "finished already and not damaged" in caplog.text
    assert (tmp_path / "out.tfrecord").stat().st_mtime_ns == made.st_mtime_ns

    changed = dataclasses.replace(options, random_seed=3)
    with pytest.raises(UserError, match="was made with random_seed = 12345"):
        run(changed)
    before = (tmp_path / "out.tfrecord").read_bytes()
    run(dataclasses.replace(changed, start_over=True))
    assert (tmp_path / "out.tfrecord").read_bytes() != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_file": " , "}, '--output_file: " , " names no file'),
        ({"input_format": "transfer_set", "input_file": "{vocab}"}, "cannot tell its format"),
    ],
)
def test_refused(
    options: DataCreationOptions, tmp_path: pathlib.Path, changes: dict[str, str], message: str
) -> None:
    vocab = tmp_path / "vocab"
    vocab.write_text("")
    changes = {name: value.format(vocab=vocab) for name, value in changes.items()}
    with pytest.raises(UserError, match=message):
        run(dataclasses.replace(options, **changes))
    assert list(tmp_path.iterdir()) == [vocab]
