"""The scripts with --use_tpu, on a stand-in for the TPU.

It takes what TPUStrategy takes: batches of one static shape, and steps that XLA compiles whole.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from runs import metrics, predictions, results
from scripts import run_script

import training.strategy
from serving import Predictor

LENGTH = 16


class StandInStrategy(tf.distribute.OneDeviceStrategy):
    """One CPU on which every step is an XLA program, with no other kernel beside it."""

    def __init__(self, shapes: list[tf.TensorShape]):
        super().__init__("/cpu:0")
        self.shapes = shapes

    def experimental_distribute_dataset(
        self, dataset: tf.data.Dataset, options: object = None
    ) -> tf.data.Dataset:
        for name, spec in dataset.element_spec.items():
            assert spec.shape.is_fully_defined(), name
            assert spec.dtype != tf.string, name
            self.shapes.append(spec.shape)
        return super().experimental_distribute_dataset(dataset, options)

    def run(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        options: object = None,
    ) -> Any:
        return super().run(tf.function(fn, jit_compile=True), args, kwargs, options)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tf.TensorShape]:
    """Puts the stand-in in the TPU's place; the list gets the shapes of all data it is given."""
    given: list[tf.TensorShape] = []
    monkeypatch.setattr(tf.distribute, "TPUStrategy", StandInStrategy)
    monkeypatch.setattr(training.strategy, "_tpu_strategy", lambda *_: StandInStrategy(given))
    return given


@pytest.fixture
def flags(write_config: Callable[..., str], vocab_file: str) -> dict[str, Any]:
    return {
        "bert_config_file": write_config(num_hidden_layers=1),
        "vocab_file": vocab_file,
        "use_tpu": True,
        "num_tpu_cores": 1,
        "iterations_per_loop": 7,
        "precision": "bfloat16",
    }


def test_pretraining(
    shapes: list[tf.TensorShape], flags: dict[str, Any], records_file: str, tmp_path: pathlib.Path
) -> None:
    run_script(
        "run_pretraining",
        **flags,
        input_file=records_file,
        output_dir=tmp_path,
        max_seq_length=24,
        max_predictions_per_seq=4,
        train_batch_size=8,
        gradient_accumulation_steps=2,
        num_train_steps=10,
        num_warmup_steps=2,
        log_steps=5,
        do_train=True,
        do_eval=True,
        max_eval_steps=2,
    )
    assert [record["step"] for record in metrics(tmp_path, "train")] == [5, 10]
    assert results(tmp_path)["global_step"] == 10
    assert tf.TensorShape([8, 24]) in shapes


def test_fine_tuning_and_distillation(
    shapes: list[tf.TensorShape],
    flags: dict[str, Any],
    task_dir: str,
    transfer_file: str,
    tmp_path: pathlib.Path,
) -> None:
    device = {key: flags[key] for key in ("use_tpu", "num_tpu_cores", "precision")}
    task = {"task_name": "SST-2", "data_dir": task_dir, "max_seq_length": LENGTH}
    teacher, labels, student = (tmp_path / name for name in ("teacher", "labels", "student"))
    run = {"train_batch_size": 16, "num_train_epochs": 1, "do_train": True, "do_eval": True}
    run_script("run_classifier", **flags, **task, **run, output_dir=teacher, do_predict=True)
    run_script(
        "create_soft_labels",
        **device,
        init_checkpoint=teacher,
        input_file=transfer_file,
        output_dir=labels,
        max_seq_length=LENGTH,
    )
    soft_labels = {"input_file": labels / "*.tfrecord", "eval_file": labels / "*.tfrecord"}
    run_script("run_distill", **flags, **task, **run, **soft_labels, output_dir=student)
    assert predictions(teacher).shape == (37, 2)
    # As the two say without a TPU, but for texts on which rounding decides.
    texts = pathlib.Path(transfer_file).read_text().splitlines()
    said = [
        Predictor.load(str(folder), precision="bfloat16").logits(texts).argmax(axis=1)
        for folder in (teacher, student)
    ]
    agreement = results(student)["teacher_agreement"]
    assert agreement == pytest.approx(np.mean(said[0] == said[1]), abs=0.03)
    # Inputs, and the teacher's logits.
    assert {shape[1] for shape in shapes if shape.rank == 2} == {LENGTH, 2}
