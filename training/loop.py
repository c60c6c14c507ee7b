"""The training loop of pre-training, fine-tuning and distillation.

The three runs differ in their `Objective` and their data. All sums are taken over every replica and
every part of an accumulated batch before they are divided, so losses and metrics are those of the
whole batch however it was split.
"""

from __future__ import annotations

import abc
import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf
import tf_keras

from common.errors import UserError
from data.datasets import as_written
from modeling.optimization import AdamWeightDecay
from training.reporting import Reporter
from training.run_state import RunState
from training.strategy import (
    any_worker,
    chief_value,
    explain_lost_worker,
    is_single_worker,
    lengths_may_vary,
)
from training.termination import EXIT_TERMINATED

Batch = Mapping[str, tf.Tensor]

# Seconds that a call of several updates is to take: a signal waits until it has ended.
CALL_SECONDS = 0.5


class Objective(abc.ABC):
    """A model and a loss that is a weighted sum of means over a batch.

    Attributes:
      model: The Keras model that is trained.
      loss_weights: Name of each mean -> its weight in the loss.
    """

    model: tf_keras.Model
    loss_weights: Mapping[str, float]

    @abc.abstractmethod
    def loss_denominators(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Denominators of the mean losses: a float32 scalar per name, from the data alone."""

    @abc.abstractmethod
    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The sum behind each mean, a float32 scalar per name, with dropout by `seed`."""


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """The flags of the loop (`training.flags`).

    Attributes:
      num_train_steps: Updates of the whole run.
      gradient_accumulation_steps: Parts each batch is computed in.
      steps_per_call: Updates per call of the compiled function; None for as many as take half a
        second, which a small model does 15 % faster, or for one where several workers must agree.
      save_checkpoints_steps: Updates between saved states.
      evaluate_steps: Updates between evaluations; 0 for none before the end.
      early_stopping_patience: Evaluations in a row without a new best that end the run; 0 for none.
      log_steps: Updates between lines of metrics.
      random_seed: Seed of dropout.
    """

    num_train_steps: int
    gradient_accumulation_steps: int = 1
    steps_per_call: int | None = None
    save_checkpoints_steps: int = 1000
    evaluate_steps: int = 0
    early_stopping_patience: int = 0
    log_steps: int = 100
    random_seed: int = 0


def train(
    objective: Objective,
    optimizer: AdamWeightDecay,
    strategy: tf.distribute.Strategy,
    input_from: Callable[[int], Iterable],
    options: LoopOptions,
    state: RunState,
    reporter: Reporter,
    evaluate: Callable[[], object],
    is_terminated: Callable[[], bool] = lambda: False,
) -> None:
    """Trains from the state's step to the last one, or until early stopping.

    Args:
      objective: The losses to minimize.
      optimizer: Applies the gradients of the mean over the whole batch.
      strategy: The devices.
      input_from: Step -> the batches from that step on, distributed over the devices.
      options: See `LoopOptions`.
      state: Saved on the way and at the end.
      reporter: Receives the mean losses, the learning rate, the norm of the gradient, and the time.
      evaluate: Called every `evaluate_steps` updates and after the last one, before the state of that
        step is saved; it tells the state the result.
      is_terminated: Asked after every call of the compiled function and the evaluation that may
        follow it; if it is true on any worker, the state is saved and all end with status 143.

    Raises:
      UserError: The loss or its gradient is not finite. Nothing is saved after the last finite step.
    """
    if state.step >= options.num_train_steps or stops_early(state, options):
        logging.info("Training has already ended at step %d.", state.step)
        return
    train_steps = compiled_steps(objective, optimizer, strategy, options)
    is_any = any_worker(strategy)
    iterator = iter(input_from(state.step))
    step = state.step
    steps_per_call = options.steps_per_call or 1
    ended = False
    while not ended:
        until = min(
            [options.num_train_steps, step + steps_per_call]
            + [
                (step // every + 1) * every
                for every in (
                    options.log_steps,
                    options.save_checkpoints_steps,
                    options.evaluate_steps,
                )
                if every
            ]
        )
        start = time.monotonic()
        with explain_lost_worker(strategy):
            losses, gradient_norm, bad_step = train_steps(iterator, tf.constant(until - step))
            bad_step = int(bad_step)
        seconds = time.monotonic() - start
        if options.steps_per_call is None and is_single_worker(strategy):
            steps_per_call = steps_within_a_call(seconds / (until - step))
        if bad_step >= 0:
            raise UserError(
                f"the loss, or its gradient, is not finite at step {bad_step + 1}; nothing was "
                "saved since. Lower --learning_rate, raise the warm-up, or look at the records of "
                "that step."
            )
        state.add_losses({name: float(value) for name, value in losses.items()})
        reporter.progress(until, float(losses["loss"]) / (until - step))
        reporter.add_time(until - step, seconds)
        step = until
        ended = step == options.num_train_steps
        if ended or (options.evaluate_steps and step % options.evaluate_steps == 0):
            evaluate()
            ended = ended or stops_early(state, options)
        if ended or step % options.log_steps == 0:
            means = state.take_mean_losses()
            # Rate and norm of the update just done, which is the one that follows `step - 1` updates.
            means["learning_rate"] = float(optimizer.schedule(tf.constant(step - 1)))
            means["gradient_norm"] = float(gradient_norm)
            reporter.scalars(step, means)
            reporter.speed(step)
        terminated = is_any(is_terminated())
        if ended or terminated or step % options.save_checkpoints_steps == 0:
            state.save()
        if terminated and not ended:
            chief_value(strategy, state.step)  # Nobody leaves before the chief has saved.
            logging.info("Terminated; run the same command again to continue.")
            sys.exit(EXIT_TERMINATED)


def steps_within_a_call(seconds: float) -> int:
    """Number of updates in one call, given the seconds of one; results do not depend on it."""
    return max(1, int(CALL_SECONDS / seconds))


def stops_early(state: RunState, options: LoopOptions) -> bool:
    """Whether training ends early because evaluations no longer improve; logs the reason."""
    patience = options.early_stopping_patience
    if not patience or state.evaluations_since_best(options.evaluate_steps) < patience:
        return False
    logging.info(
        "Early stopping at step %d: the last %d evaluations were no better than that of step %d.",
        state.step,
        state.evaluations_since_best(options.evaluate_steps),
        state.best_step.numpy(),
    )
    return True


def compiled_steps(
    objective: Objective,
    optimizer: AdamWeightDecay,
    strategy: tf.distribute.Strategy,
    options: LoopOptions,
) -> Callable[..., tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]]:
    """A function (iterator, count) that trains `count` steps in one call.

    It returns the sums of the losses over these steps, in float64; the norm of the last step's
    gradient before it was clipped; and the first step whose loss or norm was not finite, -1 for none.
    """
    # On a TPU shapes are static; sums over parts and replicas are dense.
    keeps_rows = (
        strategy.num_replicas_in_sync == options.gradient_accumulation_steps == 1
        and lengths_may_vary(strategy)
    )
    step_of_replica = replica_step(objective, optimizer, options, keeps_rows)

    @tf.function
    def train_steps(iterator: tf.data.Iterator, count: tf.Tensor) -> tuple:
        totals = {k: tf.constant(0.0, tf.float64) for k in ("loss", *objective.loss_weights)}
        norm = tf.constant(0.0)
        bad_step = tf.constant(-1, tf.int64)
        for _ in tf.range(count):
            step = tf.identity(optimizer.iterations)
            per_replica = strategy.run(step_of_replica, args=(next(iterator),))
            found = {k: strategy.experimental_local_results(v)[0] for k, v in per_replica.items()}
            totals = {k: total + tf.cast(found[k], tf.float64) for k, total in totals.items()}
            norm = found["gradient_norm"]
            is_finite = tf.math.is_finite(found["loss"]) & tf.math.is_finite(norm)
            bad_step = tf.where((bad_step < 0) & ~is_finite, step, bad_step)
        return totals, norm, bad_step

    return train_steps


def replica_step(
    objective: Objective,
    optimizer: AdamWeightDecay,
    options: LoopOptions,
    keeps_rows: bool = False,
) -> Callable[[Batch], dict[str, tf.Tensor]]:
    """One update as each replica computes it: its part of the batch -> the losses of the whole batch.

    Beside the losses it returns `gradient_norm`, that of the whole gradient before it is clipped.
    On a TPU this is what the compiler sees; it must have static shapes and run on the device alone.

    Args:
      objective: The model and its loss.
      optimizer: Applies the gradients.
      options: Of the loop.
      keeps_rows: Measure and clip a gradient of looked-up rows by these rows alone; for one replica
        and one part, where shapes may depend on the batch.
    """
    variables = objective.model.trainable_variables
    parts = options.gradient_accumulation_steps

    @as_written
    def gradients(batch: Batch, denominators: Mapping[str, tf.Tensor], seed: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            sums = objective.sums(batch, seed)
            losses = {k: tf.math.divide_no_nan(v, denominators[k]) for k, v in sums.items()}
            losses["loss"] = tf.add_n([w * losses[k] for k, w in objective.loss_weights.items()])
        # Of the look-up word embeddings get a gradient of rows; the optimizer makes it dense.
        as_summand = _with_distinct_rows if keeps_rows else tf.convert_to_tensor
        return [as_summand(g) for g in tape.gradient(losses["loss"], variables)], losses

    apply_gradients = as_written(optimizer.apply_gradients)

    def step(batch: Batch) -> dict[str, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        denominators = context.all_reduce(
            tf.distribute.ReduceOp.SUM, objective.loss_denominators(batch)
        )
        seed = tf.stack([tf.constant(options.random_seed), tf.cast(optimizer.iterations, tf.int32)])
        seed = tf.random.experimental.stateless_fold_in(
            seed, tf.cast(context.replica_id_in_sync_group, tf.int32)
        )
        if parts == 1:
            grads, losses = gradients(batch, denominators, seed)
        else:
            split = {k: tf.reshape(v, _split_shape(v, parts)) for k, v in batch.items()}
            grads = [tf.zeros_like(v) for v in variables]
            losses = {k: tf.constant(0.0) for k in ("loss", *objective.loss_weights)}
            for i in tf.range(parts):
                part_seed = tf.random.experimental.stateless_fold_in(seed, i)
                part = {k: v[i] for k, v in split.items()}
                part_grads, part_losses = gradients(part, denominators, part_seed)
                grads = [total + g for total, g in zip(grads, part_grads, strict=True)]
                losses = {k: total + part_losses[k] for k, total in losses.items()}
        grads = context.all_reduce(tf.distribute.ReduceOp.SUM, grads)
        losses = context.all_reduce(tf.distribute.ReduceOp.SUM, losses)
        # The optimizer clips by the same expression, which TensorFlow computes once.
        norm = tf.linalg.global_norm(grads)
        apply_gradients(zip(grads, variables, strict=True), skip_gradients_aggregation=True)
        return {**losses, "gradient_norm": norm}

    # Only the loop over parts is Python control flow over tensors.
    return as_written(step) if parts == 1 else step


def _with_distinct_rows(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """A gradient whose rows, where it has some only, are added up: each stands there once.

    A batch looks up some hundred of 30,522 word embeddings. The norm of these rows is that of the
    whole gradient, and clipping them is clipping it.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, positions = tf.unique(gradient.indices)
    rows = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(indices))
    return tf.IndexedSlices(rows, indices, gradient.dense_shape)


def _split_shape(x: tf.Tensor, parts: int) -> tf.Tensor:
    shape = tf.shape(x)
    return tf.concat([[parts, shape[0] // parts], shape[1:]], axis=0)
