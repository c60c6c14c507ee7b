"""What was trained without TensorFlow comes back as a model folder."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
from accelerator_rows import CONFIG, LENGTH, PREDICTIONS
from safetensors.numpy import save_file

from benchmarks.accelerator.export import Pretraining, Setting
from benchmarks.accelerator.model_folders import write_folder
from checkpoints.formats import find_weights
from checkpoints.weights import CheckpointReader, variable_values
from modeling.tokenization import FullTokenizer


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
