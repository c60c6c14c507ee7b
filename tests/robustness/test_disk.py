"""A full disk and an unwritable folder: one line that names the path, and nothing good is lost."""

from __future__ import annotations

import contextlib
import pathlib
import resource
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scripts import run_script

from checkpoints.formats import find_weights, open_weights
from checkpoints.model_folder import write_model_folder
from common import atomic
from common.errors import UserError
from data.sidecars import is_finished, sidecar_path
from data.tfrecords import RecordWriter
from modeling.config import BertConfig
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training.reporting import Reporter
from training.run_state import RunState, saved_steps


@contextlib.contextmanager
def no_file_above(num_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond this: to the writer, a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: pathlib.Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_state_of_a_run(tmp_path: pathlib.Path) -> None:
    variable = tf.Variable(np.ones(50_000, np.float32), name="bert/x")
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 10, 0))
    state = RunState(str(tmp_path), [variable], optimizer, keep=1)
    state.save()
    before = contents(tmp_path)
    state.step_variable.assign(5)
    with (
        no_file_above(100_000),
        pytest.raises(UserError, match=rf"Cannot save .* {tmp_path}/model.ckpt-5: .*large"),
    ):
        state.save()
    assert contents(tmp_path) == before
    assert state.restore() and state.step == 0
    # Not the files of the state, but the one that lists them.
    state.step_variable.assign(6)
    state.save()
    assert saved_steps(str(tmp_path)) == [6]


def test_model_folder(tmp_path: pathlib.Path) -> None:
    config = BertConfig(9, 4, 1, 2, 5)
    values = {"bert/x": np.ones(50_000, np.float32)}
    write_model_folder(str(tmp_path), values, config, None, {"global_step": 1})
    before = contents(tmp_path)
    with no_file_above(100_000), pytest.raises(UserError, match=r"Cannot write .*bert_model.ckpt"):
        write_model_folder(str(tmp_path), {"bert/x": values["bert/x"] * 2}, config, None, {})
    assert contents(tmp_path) == before
    assert open_weights(find_weights(str(tmp_path))).read("bert/x")[0] == 1


def test_records_text_and_log(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "a.tfrecord")
    with RecordWriter(path) as writer:
        writer.write(b"first")
    atomic.write_json(sidecar_path(path), {"num_examples": 1})
    atomic.write_text(str(tmp_path / "results.txt"), "good")
    reporter = Reporter(str(tmp_path), 10, 1, 0)
    before = contents(tmp_path)
    with no_file_above(4096):
        with (
            pytest.raises(UserError, match="Cannot write .*a.tfrecord.*make room"),
            RecordWriter(path) as writer,
        ):
            writer.write(bytes(100_000))
        with pytest.raises(UserError, match="Cannot write .*results.txt.*make room"):
            atomic.write_text(str(tmp_path / "results.txt"), "x" * 100_000)
        assert contents(tmp_path) == before
        with pytest.raises(UserError, match="Cannot write .*metrics.jsonl.*make room"):
            reporter.scalars(1, {f"loss_{i}": 1.0 for i in range(1000)})


def test_data_creation(corpus_file: str, vocab_file: str, tmp_path: pathlib.Path) -> None:
    flags: dict[str, Any] = {
        "input_file": corpus_file,
        "output_file": f"{tmp_path}/a.tfrecord,{tmp_path}/b.tfrecord",
        "vocab_file": vocab_file,
        "max_seq_length": 24,
        "max_predictions_per_seq": 4,
        "num_processes": 1,
    }
    run_script("create_pretraining_data", **flags)
    before = contents(tmp_path)
    assert is_finished(f"{tmp_path}/a.tfrecord", {"output_file": 0})
    with (
        no_file_above(20_000),
        pytest.raises(UserError, match="Cannot write .*tfrecord.*make room"),
    ):
        run_script("create_pretraining_data", **flags, random_seed=3, start_over=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "write",
    [
        lambda target: atomic.write_text(target, ""),
        lambda target: RecordWriter(target).__enter__(),
        lambda target: write_model_folder(target, {}, BertConfig(9, 4, 1, 2, 5), None, {}),
        lambda target: Reporter(target, 1, 1, 0),
    ],
    ids=["text", "records", "model", "reports"],
)
def test_unwritable_folder(tmp_path: pathlib.Path, write: Callable[[str], object]) -> None:
    """A file stands where the folder should be: that stops even a superuser."""
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match=f"Cannot .* {tmp_path}/out"):
        write(str(tmp_path / "out" / "x"))
