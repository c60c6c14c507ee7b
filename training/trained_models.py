"""Trained models of runs: loaded for evaluation and prediction, and written as model folders."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from checkpoints.formats import find_weights, open_weights
from checkpoints.initialization import check_whole
from checkpoints.model_folder import read_model_folder, write_model_folder
from checkpoints.model_sources import ModelSources
from checkpoints.weights import CheckpointReader, load_weights, variable_values
from common.errors import UserError
from modeling.bert import BertEncoder
from training.identity import Identity


def load_trained_weights(
    model: tf_keras.Model, path: str, remedy: str = "give a model that was trained for this"
) -> int:
    """Loads a trained model for evaluation and prediction alone.

    Args:
      model: Each of its variables must be in the checkpoint.
      path: Path of the weights.
      remedy: Advice for weights of another kind of model, for the message.

    Returns:
      The number of updates the weights have had, 0 where it is not recorded.

    Raises:
      UserError: They are not the weights of a whole model of this kind.
    """
    stored = find_weights(path)
    reader = open_weights(stored)
    check_whole(reader, model.encoder.config)
    report = load_weights(model.trainable_variables, reader)
    report.log()
    if report.new:
        raise UserError(
            f"{report.source}: variables {', '.join(report.new)} are missing, so there is no trained "
            f"model to use; {remedy}."
        )
    if isinstance(reader, CheckpointReader) and reader.global_step:
        return reader.global_step
    folder = read_model_folder(stored)
    return folder.global_step if folder else 0


def load_trained_encoder(encoder: BertEncoder, path: str) -> None:
    """Loads an encoder whose [CLS] states and other tokens are wanted; the pooler may be missing.

    Raises:
      UserError: They are not the weights of a whole encoder.
    """
    reader = open_weights(find_weights(path))
    check_whole(reader, encoder.config)
    report = load_weights(encoder.trainable_variables, reader)
    report.log()
    if missing := [name for name in report.new if not name.startswith("bert/pooler/")]:
        raise UserError(
            f"{report.source}: variables {', '.join(missing)} are missing, so this is no whole "
            "encoder; give another model."
        )


def write_trained_model(
    folder: str,
    model: tf_keras.Model,
    sources: ModelSources,
    step: int,
    flag_values: Mapping[str, Any],
    identity: Identity,
    info: Mapping[str, Any],
) -> None:
    """Writes the model folder of a run.

    Args:
      folder: Folder to write to.
      model: The trained model.
      sources: Its configuration and vocabulary.
      step: Updates done.
      flag_values: Flags, for the record.
      identity: Identity of the run that trained it.
      info: Further entries of `model_info.json`, beside identity and tokenizer.
    """
    values = variable_values(model.trainable_variables)
    facts = {
        "global_step": step,
        "flags": flag_values,
        "made_from": identity.training.to_json()["contents"],
        "versions": software_versions(),
    }
    info = {**sources.tokenizer_info(), **info, **facts}
    write_model_folder(folder, values, sources.config, sources.vocab_file, info)


def software_versions() -> dict[str, str]:
    """Versions that decide numerical results, for the record."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
