"""What tests of convert_checkpoint.py convert: models of odd sizes in our folders."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
from models import ODD_CONFIG, random_weights

from checkpoints.model_folder import write_model_folder
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel

# What is made a SavedModel is traced layer by layer, and takes seconds for each.
ONE_LAYER = dataclasses.replace(ODD_CONFIG, num_hidden_layers=1)


def write_model(
    folder: pathlib.Path,
    weights: dict[str, np.ndarray],
    vocab_file: str | None,
    config: BertConfig = ODD_CONFIG,
    **info: Any,
) -> str:
    write_model_folder(str(folder), weights, config, vocab_file, info)
    return str(folder)


def pretrained_weights(config: BertConfig) -> dict[str, np.ndarray]:
    return random_weights(PretrainingModel(config))


def classifier_weights(config: BertConfig) -> dict[str, np.ndarray]:
    return random_weights(ClassifierModel(config, 3))
