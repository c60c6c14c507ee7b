"""What was trained without TensorFlow comes back as a model folder."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
from accelerator_rows import CONFIG, LENGTH, PREDICTIONS
from safetensors.numpy import save_file

from benchmarks.accelerator.export import Pretraining, Setting
from benchmarks.accelerator.model_folders import write_curve, write_folder
from benchmarks.accelerator.packed_records import CURVES
from checkpoints.formats import find_weights
from checkpoints.weights import CheckpointReader, variable_values
from modeling.tokenization import FullTokenizer
from training.metrics_log import best_evaluation, read_metrics


def test_weights_come_back_as_a_model_folder(tmp_path: pathlib.Path, vocab_file: str) -> None:
    tokenizer = FullTokenizer(vocab_file)
    config = dataclasses.replace(CONFIG, vocab_size=tokenizer.vocab_size)
    values = variable_values(
        Pretraining(config, Setting(1, LENGTH, PREDICTIONS)).model.trainable_variables
    )
    small = {name: value.astype(np.float16) for name, value in values.items()}
    metadata = {"config": json.dumps(config.to_dict()), "point": json.dumps({"update": 7})}
    save_file(small, tmp_path / "2-32.safetensors", metadata)
    write_folder(str(tmp_path / "2-32.safetensors"), str(tmp_path / "model"), tokenizer)
    reader = CheckpointReader(find_weights(str(tmp_path / "model")).path)
    assert set(reader.shapes) == set(values)
    for name, value in small.items():
        np.testing.assert_array_equal(reader.read(name), value.astype(np.float32))


def test_curve_is_the_log_of_a_run(tmp_path: pathlib.Path) -> None:
    """Of the runs of a model, the one whose weights were kept."""

    def point(update: int, loss: float, learning_rate: float = 1e-3) -> dict[str, object]:
        names = ("next_sentence_loss", "masked_lm_accuracy", "next_sentence_accuracy")
        run = {"model": "2-32", "learning_rate": learning_rate, "num_updates": 20}
        values = {"rate": 5e-4, "training_loss": 7.0, "masked_lm_loss": loss}
        return {**run, "update": update, **values, **dict.fromkeys(names, 0.5)}

    points = [point(10, 6.4, 2e-3), point(10, 6.0), point(20, 4.0)]
    (tmp_path / CURVES).write_text("".join(json.dumps(p) + "\n" for p in points))
    write_curve(str(tmp_path), str(tmp_path), points[-1])
    found = read_metrics(str(tmp_path))
    assert [(line["step"], line["kind"]) for line in found] == [
        (step, kind) for step in (10, 20) for kind in ("train", "eval")
    ]
    assert found[0]["loss"] == 7.0 and found[1]["masked_lm_loss"] == 6.0
    assert best_evaluation(str(tmp_path))["score"] == -4.5
