"""A training run in its folder, from the first restore to the last model folder.

Shared by pre-training, fine-tuning and distillation: what to start from, the loop, evaluations on
the way with the best model kept, and the final model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from common.errors import UserError
from modeling.checkpoints import (
    CheckpointReader,
    WeightReader,
    load_weights,
    stored_weights_digest,
    variable_name,
    variable_values,
    weights_digest,
)
from modeling.config import BertConfig
from modeling.forms import find_weights, open_weights, weights_exist
from modeling.initialization import RANDOM, check_whole, select_weights
from modeling.model_folder import ModelSources, read_model_folder, write_model_folder
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training.identity import BEST_FOLDER, Content, Identity, Part
from training.input import FeatureSpec, RecordSet, damage_named, training_batches
from training.loop import Objective, TrainOptions, train
from training.reporting import Reporter
from training.run_state import RunState
from training.strategy import check_batch_size, is_chief, lengths_may_vary
from training.termination import sigterm_noted


class Evaluation(NamedTuple):
    """Result of an evaluation.

    Attributes:
      metrics: Name -> value.
      score: What models are compared by; higher is better.
    """

    metrics: dict[str, float]
    score: float


class Trained(NamedTuple):
    """What a run has come to.

    Attributes:
      step: Updates done; fewer than planned where training stopped early.
      evaluation: Of the final model; None where nothing was to be evaluated.
    """

    step: int
    evaluation: Evaluation | None


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The flags of a training run.

    Attributes:
      output_dir: Folder of states, logs and models.
      learning_rate: Peak rate.
      num_warmup_steps: Updates in which the rate rises.
      train_batch_size: Examples per update over all replicas.
      keep_checkpoint_max: Saved states to keep.
      loop: Options of the loop.
    """

    output_dir: str
    learning_rate: float
    num_warmup_steps: int
    train_batch_size: int
    keep_checkpoint_max: int
    loop: TrainOptions


def run_training(
    objective: Objective,
    strategy: tf.distribute.Strategy,
    records: RecordSet,
    spec: FeatureSpec,
    options: RunOptions,
    initial_weights: WeightReader | None,
    write_model: Callable[[str, int], None],
    evaluate: Callable[[], Evaluation] | None = None,
    group_by_length: bool = True,
) -> Trained:
    """Trains to the end, or finishes a run that was interrupted.

    The final model is that of the last update, also where training stops early; the best one is kept
    in `output_dir/best`.

    Args:
      objective: Its model was made in the strategy's scope.
      strategy: Where to compute.
      records: The training set.
      spec: Features of its records.
      options: See `RunOptions`.
      initial_weights: From `select_initial_weights`; not used where a saved state is restored.
      write_model: Writes a model folder, given its path and the number of updates; called on the
        chief alone.
      evaluate: Measures the model; called on the way (`evaluate_steps`) and at the end. The model
        with the highest score, the first of equal ones, is the best.
      group_by_length: See `training_batches`; off where all records are full.

    Raises:
      UserError: There is less than one batch, it cannot be divided, the weights do not fit, the
        folder holds another run, a record is damaged, or the loss is not finite.
      SystemExit: SIGTERM arrived while training; the state is saved.
    """
    loop = options.loop
    check_batch_size(
        "train_batch_size", options.train_batch_size, strategy, loop.gradient_accumulation_steps
    )
    if loop.num_train_steps < 1:
        raise UserError(
            f"{records.num_examples} training examples in batches of --train_batch_size="
            f"{options.train_batch_size} make no step; lower it, or raise --num_train_epochs."
        )
    chief = is_chief(strategy)
    variables = objective.model.trainable_variables
    with strategy.scope():
        optimizer = AdamWeightDecay(
            WarmupLinearDecay(options.learning_rate, loop.num_train_steps, options.num_warmup_steps)
        )
        loss_names = ("loss", *objective.loss_weights)
        state = RunState(
            options.output_dir, variables, optimizer, options.keep_checkpoint_max, loss_names
        )
    # 1. the run's own newest state, 2. --init_checkpoint, 3. random weights
    if not state.restore():
        if initial_weights:
            load_weights(variables, initial_weights).log()
        else:
            logging.info("Training starts from random weights.")
    state.plan(loop.num_train_steps)
    log_start(objective, options)
    reporter = Reporter(
        options.output_dir, loop.num_train_steps, options.train_batch_size, state.step, chief
    )

    evaluations: dict[int, Evaluation] = {}

    def evaluate_and_keep_best() -> None:
        if evaluate is None:
            return
        result = evaluations[state.step] = evaluate()
        reporter.scalars(state.step, {**result.metrics, "score": result.score}, kind="eval")
        logging.info(
            "Evaluation at step %d: %s",
            state.step,
            ", ".join(f"{name} {value:.4f}" for name, value in sorted(result.metrics.items())),
        )
        if state.is_best(result.score) and chief:
            write_model(os.path.join(options.output_dir, BEST_FOLDER), state.step)

    by_length = group_by_length and lengths_may_vary(strategy)

    def batches_from(step: int) -> tf.data.Dataset:
        return training_batches(
            records, spec, options.train_batch_size, loop.random_seed, step, by_length
        )

    with damage_named(records), sigterm_noted() as is_terminated:
        train(
            objective,
            optimizer,
            strategy,
            batches_from,
            loop,
            state,
            reporter,
            evaluate_and_keep_best,
            is_terminated,
        )
    if chief:
        write_model(options.output_dir, state.step)
    if state.step not in evaluations:  # Nothing was left to train.
        evaluate_and_keep_best()
    return Trained(state.step, evaluations.get(state.step))


def select_initial_weights(
    config: BertConfig,
    init_checkpoint: str | None,
    init_strategy: str,
    init_layers: Sequence[int] | None,
) -> WeightReader | None:
    """What a model starts from, checked against its architecture before anything is written.

    Args:
      config: The model's architecture.
      init_checkpoint: What to start from; None for random weights.
      init_strategy: What to take of it (`modeling.initialization.STRATEGIES`).
      init_layers: Which of its layers, in place of the strategy; None for the strategy's.

    Returns:
      The weights; None for random ones.

    Raises:
      UserError: The checkpoint does not fit.
    """
    if not init_checkpoint or init_strategy == RANDOM:
        return None
    reader = open_weights(find_weights(init_checkpoint))
    return select_weights(reader, config, init_strategy, init_layers)


def weights_content(reader: WeightReader, model: tf_keras.Model) -> Content:
    """What a model takes of stored weights, as a part of a run's identity.

    Raises:
      UserError: The stored data is damaged.
    """
    names = [name for v in model.trainable_variables if (name := variable_name(v)) in reader.shapes]
    return Content(stored_weights_digest(reader, names), reader.source)


def model_content(model: tf_keras.Model, source: str) -> Content:
    """A model with all that its outputs depend on, as a part of a run's identity.

    Args:
      model: Its weights are loaded.
      source: Where from.
    """
    config = json.dumps(model.encoder.config.to_dict(), sort_keys=True)
    weights = weights_digest(variable_values(model.trainable_variables))
    return Content(hashlib.sha256(f"{config} {weights}".encode()).hexdigest(), source)


def run_identity(
    sources: ModelSources,
    model: tf_keras.Model,
    weights: WeightReader | None,
    values: Mapping[str, Any],
    contents: Mapping[str, Content],
    evaluation: Part | None = None,
) -> Identity:
    """The identity of a run that trains a model.

    Args:
      sources: The model's architecture, vocabulary and casing.
      model: The model; of the starting weights, only what it takes counts.
      weights: What it starts from; None for random weights.
      values: Flags and the like that decide the result.
      contents: The data.
      evaluation: What decides which model is the best.

    Raises:
      UserError: The stored weights are damaged.
    """
    architecture = {
        k: v for k, v in sources.config.to_dict().items() if k not in sources.config.extra
    }
    of_tokenizer = {k: v for k, v in sources.tokenizer_info().items() if k != "vocab_sha256"}
    of_model: dict[str, Content] = {}
    if sources.tokenizer:
        of_model["vocabulary"] = Content(sources.tokenizer.sha256, sources.tokenizer.vocab_file)
    if weights:
        of_model["start"] = weights_content(weights, model)
    return Identity(
        Part(
            {**architecture, **of_tokenizer, **values},
            {**of_model, **contents},
        ),
        evaluation,
    )


def trained_checkpoint(output_dir: str, init_checkpoint: str | None) -> str:
    """What is evaluated and used for predictions when nothing is trained; says so in the log.

    Args:
      output_dir: Folder of a run; its model is used where no other one is asked for.
      init_checkpoint: The model that is asked for, None where none is.

    Raises:
      UserError: There are no weights.
    """
    if init_checkpoint:
        logging.info("The model is that of --init_checkpoint=%s.", init_checkpoint)
        return init_checkpoint
    if weights_exist(output_dir):
        logging.info("The model is that of --output_dir=%s.", output_dir)
        return output_dir
    raise UserError(
        f"--output_dir={output_dir} holds no trained model; train first (--do_train), or say with "
        "--init_checkpoint which model to use."
    )


# For `load_trained_weights` in the scripts that train.
TRAIN_OR_LEAVE_OUT = (
    "train one (--do_train), or give the trained one, which without --init_checkpoint is that of "
    "--output_dir"
)


def load_trained_weights(
    model: tf_keras.Model, path: str, remedy: str = "give a model that was trained for this"
) -> int:
    """Loads a trained model for evaluation and prediction alone.

    Args:
      model: Each of its variables must be in the checkpoint.
      path: Where the weights are.
      remedy: What to do about weights of another kind of model, for the message.

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
      folder: Where to.
      model: The trained model.
      sources: Its configuration and vocabulary.
      step: Updates done.
      flag_values: Flags, for the record.
      identity: What decided the weights.
      info: What else `model_info.json` is to say than this and the tokenizer.
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


def log_start(objective: Objective, options: RunOptions) -> None:
    """The facts of a run, in the original's form."""
    logging.info("***** Running training *****")
    facts = {
        "Parameters": f"{sum(np.prod(v.shape) for v in objective.model.trainable_variables):,}",
        "Batch size": options.train_batch_size,
        "Num steps": f"{options.loop.num_train_steps:,}",
        "Warm-up steps": f"{options.num_warmup_steps:,}",
        "Output": options.output_dir,
    }
    for name, value in facts.items():
        logging.info("  %s = %s", name, value)


def software_versions() -> dict[str, str]:
    """Versions that decide numerical results, for the record."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
