"""The training loop of pre-training, fine-tuning and distillation.

The three runs differ in their `Objective` and their data.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Iterable

import tensorflow as tf

from common.errors import UserError
from training.reporting import Reporter
from training.run_state import RunState
from training.strategy import any_worker, chief_value, explain_lost_worker, is_single_worker
from training.termination import EXIT_TERMINATED
from training.updates import Updates

# Seconds that a call of several updates is to take: a signal waits until it has ended.
CALL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """The flags of the loop (`training.flags`).

    Attributes:
      num_train_steps: Updates of the whole run.
      steps_per_call: Updates per call of the compiled function; None for as many as take half a
        second, which a small model does 15 % faster, or for one where several workers must agree.
      save_checkpoints_steps: Updates between saved states.
      evaluate_steps: Updates between evaluations; 0 for none before the end.
      early_stopping_patience: Evaluations in a row without a new best that end the run; 0 for none.
      log_steps: Updates between lines of metrics.
    """

    num_train_steps: int
    steps_per_call: int | None = None
    save_checkpoints_steps: int = 1000
    evaluate_steps: int = 0
    early_stopping_patience: int = 0
    log_steps: int = 100


def train(
    updates: Updates,
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
      updates: Of the model, begun with the schedule of this run.
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
            losses, gradient_norm, bad_step = updates.train_steps(
                iterator, tf.constant(until - step)
            )
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
        due = bool(options.evaluate_steps) and step % options.evaluate_steps == 0
        if ended or due:
            evaluate()
            # Not one that the end of the run alone asks for: a longer run would not have it.
            if due:
                state.count_evaluation()
            ended = ended or stops_early(state, options)
        if ended or step % options.log_steps == 0:
            means = state.take_mean_losses()
            # Rate and norm of the update just done, which is the one that follows `step - 1` updates.
            means["learning_rate"] = float(updates.optimizer.schedule(tf.constant(step - 1)))
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
    if not patience or state.evaluations_since_best < patience:
        return False
    logging.info(
        "Early stopping at step %d: the last %d evaluations were no better than that of step %d.",
        state.step,
        state.evaluations_since_best,
        state.best_step.numpy(),
    )
    return True
