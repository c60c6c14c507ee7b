"""A training run in its folder, from the first restore to the last model folder.

Shared by pre-training, fine-tuning and distillation: what to start from, the loop, evaluations on
the way with the best model kept, and the final model.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

import tensorflow as tf
import tf_keras

from checkpoints.weights import (
    WeightReader,
    load_weights,
)
from common.errors import UserError
from data.batches import training_batches
from data.record_sets import RecordSet, explain_damaged_record
from training.devices import describe_devices
from training.identity import BEST_FOLDER, Identity, discard_run
from training.kept_models import Programs
from training.loop import LoopOptions, train
from training.options import TrainingOptions
from training.reporting import Reporter, describe_model, describe_rows, log_summary
from training.run_state import RunState, planned_steps
from training.strategy import (
    check_batch_size,
    chief_first,
    distribute,
    distribute_shards,
    is_chief,
    lengths_may_vary,
)
from training.termination import sigterm_noted
from training.updates import Objective, Updates


class Evaluation(NamedTuple):
    """Result of an evaluation.

    Attributes:
      metrics: Name -> value.
      score: Figure by which models are compared; higher is better.
      measured: More about it, for whoever writes the results.
    """

    metrics: dict[str, float]
    score: float
    measured: object = None


class Schedule(NamedTuple):
    """Length of a training run.

    Attributes:
      num_steps: Updates of the whole run.
      num_warmup_steps: Updates in which the learning rate rises.
      early_stopping_patience: Evaluations in a row without a new best that end it; 0 for none.
    """

    num_steps: int
    num_warmup_steps: int
    early_stopping_patience: int = 0


class Trained(NamedTuple):
    """Result of a training run.

    Attributes:
      step: Updates done; fewer than planned where training stopped early.
      evaluation: Of the final model; None where nothing was to be evaluated.
    """

    step: int
    evaluation: Evaluation | None


def run_training(
    objective: Objective,
    strategy: tf.distribute.Strategy,
    records: RecordSet,
    options: TrainingOptions,
    schedule: Schedule,
    initial_weights: WeightReader | None,
    identity: Identity,
    write_model: Callable[[str, int], None],
    programs: Programs,
    evaluate: Callable[[], Evaluation] | None = None,
    group_by_length: bool = True,
) -> Trained:
    """Trains to the end, or finishes a run that was interrupted.

    The final model is that of the last update, also where training stops early; the best one is kept
    in `output_dir/best`.

    Args:
      objective: Its model was made in the strategy's scope.
      strategy: The devices.
      records: The training set.
      options: Of the command.
      schedule: Length of the run.
      initial_weights: Initial weights, None for random ones; not used where a saved state is
        restored.
      identity: Of the run; TensorBoard shows it.
      write_model: Writes a model folder, given its path and the number of updates; called on the
        chief alone.
      programs: Of the model.
      evaluate: Measures the model; called on the way (`evaluate_steps`) and at the end. The model
        with the highest score, the first of equal ones, is the best.
      group_by_length: See `training_batches`; off where all records are full.

    Raises:
      UserError: There is less than one batch, it cannot be divided, the weights do not fit, the
        folder holds another run, a record is damaged, or the loss is not finite.
      SystemExit: SIGTERM arrived while training; the state is saved.
    """
    loop = LoopOptions(
        num_train_steps=schedule.num_steps,
        steps_per_call=options.iterations_per_loop if options.use_tpu else None,
        save_checkpoints_steps=options.save_checkpoints_steps,
        evaluate_steps=options.evaluate_steps,
        early_stopping_patience=schedule.early_stopping_patience,
        log_steps=options.log_steps,
    )
    parts = options.gradient_accumulation_steps
    check_batch_size("train_batch_size", options.train_batch_size, strategy, parts)
    if loop.num_train_steps < 1:
        raise UserError(
            f"{records.num_examples} training examples in batches of --train_batch_size="
            f"{options.train_batch_size} are less than one update; lower it, or raise "
            "--num_train_epochs."
        )
    if options.start_over:
        _discard_longer_run(options.output_dir, loop.num_train_steps, strategy)
    chief = is_chief(strategy)
    variables = objective.model.trainable_variables
    updates = programs.get(
        ("updates", type(objective), objective.settings, parts, options.adam_bias_correction),
        lambda: Updates(objective, strategy, parts, options.adam_bias_correction),
    )
    updates.begin(
        options.learning_rate, schedule.num_steps, schedule.num_warmup_steps, options.random_seed
    )
    with strategy.scope():
        loss_names = ("loss", *objective.loss_weights)
        keep = options.keep_checkpoint_max
        state = RunState(options.output_dir, variables, updates.optimizer, keep, loss_names)
    # 1. the run's own newest state, 2. --init_checkpoint, 3. random weights
    if state.restore():
        start = f"the state of this run after {state.step:,} updates"
    elif initial_weights:
        start = initial_weights.source
        load_weights(variables, initial_weights).log()
    else:
        start = "random weights"
    state.plan(loop.num_train_steps)
    log_summary(
        "Running training", _facts(objective.model, strategy, records, options, schedule, start)
    )
    reporter = Reporter(
        options.output_dir, loop.num_train_steps, options.train_batch_size, state.step, chief
    )
    reporter.configuration(
        {
            "num_train_steps": schedule.num_steps,
            "num_warmup_steps": schedule.num_warmup_steps,
            **identity.training.values,
            **{name: content.source for name, content in identity.training.contents.items()},
        }
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

    def input_from(step: int) -> Iterable:
        def batches(shard: RecordSet) -> tf.data.Dataset:
            size = options.train_batch_size // records.num_shards
            return training_batches(shard, size, options.random_seed, step, by_length)

        if records.num_shards == 1:
            return distribute(batches(records), strategy)
        return distribute_shards(lambda index: batches(records.shard(index)), strategy)

    with explain_damaged_record(records), sigterm_noted() as is_terminated:
        train(
            updates,
            strategy,
            input_from,
            loop,
            state,
            reporter,
            evaluate_and_keep_best,
            is_terminated,
        )
    if chief:
        write_model(options.output_dir, state.step)
    if state.step not in evaluations:  # Nothing was left to train.
        best_step = int(state.best_step.numpy())
        evaluate_and_keep_best()
        if int(state.best_step.numpy()) != best_step:
            # Without it, a longer run that restores this state would not know of the better model.
            state.save()
    return Trained(state.step, evaluations.get(state.step))


def _discard_longer_run(output_dir: str, num_steps: int, strategy: tf.distribute.Strategy) -> None:
    """With --start_over: a run of more updates is another run, its learning rate was another."""
    with chief_first(strategy) as chief:
        planned = planned_steps(output_dir) if chief else 0
        if planned > num_steps:
            logging.warning(
                "--output_dir=%s held a run of %d updates; it is discarded.", output_dir, planned
            )
            discard_run(output_dir, keep_inputs=True)


def _facts(
    model: tf_keras.Model,
    strategy: tf.distribute.Strategy,
    records: RecordSet,
    options: TrainingOptions,
    schedule: Schedule,
    start: str,
) -> dict[str, str]:
    """The start summary of a training run, name -> value."""
    rows = options.train_batch_size * schedule.num_steps
    return {
        "Device": describe_devices(strategy),
        "Precision": options.precision,
        "Model": describe_model(model),
        "Weights from": start,
        "Training data": describe_rows(records.num_examples, records.info),
        "Batch size": f"{options.train_batch_size:,}",
        "Updates": f"{schedule.num_steps:,} ({rows / records.num_examples:.3g} epochs)",
        "Warm-up updates": f"{schedule.num_warmup_steps:,}",
        "Learning rate": f"{options.learning_rate:g}",
        "Output": options.output_dir,
    }
