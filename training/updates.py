"""One update of a model: the objective that it follows, and the compiled function that computes it.

All sums are taken over every replica and every part of an accumulated batch before they are divided,
so losses and metrics are those of the whole batch however it was split.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Mapping

import tensorflow as tf
import tf_keras

from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training.strategy import lengths_may_vary

Batch = Mapping[str, tf.Tensor]


class Objective(abc.ABC):
    """A model and a loss that is a weighted sum of means over a batch.

    Attributes:
      model: The Keras model that is trained.
      loss_weights: Name of each mean -> its weight in the loss.
      settings: All that the loss depends on beside the model; objectives of one class with equal
        settings have the same compiled update.
    """

    model: tf_keras.Model
    loss_weights: Mapping[str, float]
    settings: Hashable

    @abc.abstractmethod
    def loss_denominators(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Denominators of the mean losses: a float32 scalar per name, from the data alone."""

    @abc.abstractmethod
    def sums(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The sum behind each mean, a float32 scalar per name, with dropout by `seed`."""


class Updates:
    """An optimizer and the compiled update of a model, for every schedule and seed.

    Attributes:
      optimizer: Applies the gradients of the mean over the whole batch.
      train_steps: See `compiled_steps`.

    Args:
      objective: The losses to minimize.
      strategy: The devices.
      parts: See `replica_step`.
      bias_correction: See `AdamWeightDecay`.
    """

    def __init__(
        self,
        objective: Objective,
        strategy: tf.distribute.Strategy,
        parts: int = 1,
        bias_correction: bool = False,
    ):
        with strategy.scope():
            self._learning_rate = tf.Variable(0.0, trainable=False)
            # Of int64, for which GPUs have kernels.
            self._num_train_steps = tf.Variable(1, dtype=tf.int64, trainable=False)
            self._num_warmup_steps = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._seed = tf.Variable(0, dtype=tf.int64, trainable=False)
            self.optimizer = AdamWeightDecay(
                WarmupLinearDecay(
                    self._learning_rate, self._num_train_steps, self._num_warmup_steps
                ),
                bias_correction,
            )
            self.optimizer.build(objective.model.trainable_variables)
        self.train_steps = compiled_steps(objective, self.optimizer, strategy, parts, self._seed)

    def begin(
        self, learning_rate: float, num_train_steps: int, num_warmup_steps: int, seed: int
    ) -> None:
        """Begins a run: no update is done, and the moments of the optimizer are zero."""
        self._learning_rate.assign(learning_rate)
        self._num_train_steps.assign(num_train_steps)
        self._num_warmup_steps.assign(num_warmup_steps)
        self._seed.assign(seed)
        if int(self.optimizer.iterations.numpy()):
            for variable in self.optimizer.variables:
                variable.assign(tf.zeros_like(variable))


def compiled_steps(
    objective: Objective,
    optimizer: AdamWeightDecay,
    strategy: tf.distribute.Strategy,
    parts: int = 1,
    seed: int | tf.Variable = 0,
) -> Callable[..., tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]]:
    """A function (iterator, count) that trains `count` steps in one call.

    It returns the sums of the losses over these steps, in float64; the norm of the last step's
    gradient before it was clipped; and the first step whose loss or norm was not finite, -1 for none.
    The other arguments are those of `replica_step`.
    """
    # On a TPU shapes are static; sums over parts and replicas are dense.
    keeps_rows = strategy.num_replicas_in_sync == parts == 1 and lengths_may_vary(strategy)
    step_of_replica = replica_step(objective, optimizer, parts, seed, keeps_rows)

    @tf.function(autograph=False)
    def train_steps(iterator: tf.data.Iterator, count: tf.Tensor) -> tuple:
        def one_more(
            done: tf.Tensor, totals: dict[str, tf.Tensor], norm: tf.Tensor, bad_step: tf.Tensor
        ) -> tuple:
            step = tf.identity(optimizer.iterations)
            per_replica = strategy.run(step_of_replica, args=(next(iterator),))
            found = {k: strategy.experimental_local_results(v)[0] for k, v in per_replica.items()}
            totals = {k: total + tf.cast(found[k], tf.float64) for k, total in totals.items()}
            norm = found["gradient_norm"]
            is_finite = tf.math.is_finite(found["loss"]) & tf.math.is_finite(norm)
            return done + 1, totals, norm, tf.where((bad_step < 0) & ~is_finite, step, bad_step)

        totals = {k: tf.constant(0.0, tf.float64) for k in ("loss", *objective.loss_weights)}
        start = tf.constant(0), totals, tf.constant(0.0), tf.constant(-1, tf.int64)
        return tf.while_loop(lambda done, *_: done < count, one_more, start)[1:]

    return train_steps


def replica_step(
    objective: Objective,
    optimizer: AdamWeightDecay,
    parts: int = 1,
    seed: int | tf.Variable = 0,
    keeps_rows: bool = False,
) -> Callable[[Batch], dict[str, tf.Tensor]]:
    """One update as each replica computes it: its part of the batch -> the losses of the whole batch.

    Beside the losses it returns `gradient_norm`, that of the whole gradient before it is clipped.
    On a TPU this is what the compiler sees; it must have static shapes and run on the device alone.

    Args:
      objective: The model and its loss.
      optimizer: Applies the gradients.
      parts: Each batch is computed in so many parts, whose gradients are added up.
      seed: Of dropout; an integer scalar.
      keeps_rows: Measure and clip a gradient of looked-up rows by these rows alone; for one replica
        and one part, where shapes may depend on the batch.
    """
    variables = objective.model.trainable_variables

    def gradients(batch: Batch, denominators: Mapping[str, tf.Tensor], seed: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            sums = objective.sums(batch, seed)
            losses = {k: tf.math.divide_no_nan(v, denominators[k]) for k, v in sums.items()}
            losses["loss"] = tf.add_n([w * losses[k] for k, w in objective.loss_weights.items()])
        # The look-up of word embeddings has a sparse gradient (rows); the optimizer makes it dense.
        as_summand = _with_distinct_rows if keeps_rows else tf.convert_to_tensor
        return [as_summand(g) for g in tape.gradient(losses["loss"], variables)], losses

    def step(batch: Batch) -> dict[str, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        denominators = context.all_reduce(
            tf.distribute.ReduceOp.SUM, objective.loss_denominators(batch)
        )
        step_seed = tf.stack([tf.cast(seed, tf.int32), tf.cast(optimizer.iterations, tf.int32)])
        step_seed = tf.random.experimental.stateless_fold_in(
            step_seed, tf.cast(context.replica_id_in_sync_group, tf.int32)
        )
        if parts == 1:
            grads, losses = gradients(batch, denominators, step_seed)
        else:
            split = {k: tf.reshape(v, _split_shape(v, parts)) for k, v in batch.items()}
            grads = [tf.zeros_like(v) for v in variables]
            losses = {k: tf.constant(0.0) for k in ("loss", *objective.loss_weights)}

            def one_more(
                i: tf.Tensor, grads: list[tf.Tensor], losses: dict[str, tf.Tensor]
            ) -> tuple[tf.Tensor, list[tf.Tensor], dict[str, tf.Tensor]]:
                part_seed = tf.random.experimental.stateless_fold_in(step_seed, i)
                part = {k: v[i] for k, v in split.items()}
                part_grads, part_losses = gradients(part, denominators, part_seed)
                grads = [total + g for total, g in zip(grads, part_grads, strict=True)]
                return i + 1, grads, {k: total + part_losses[k] for k, total in losses.items()}

            start = tf.constant(0), grads, losses
            _, grads, losses = tf.while_loop(lambda i, *_: i < parts, one_more, start)
        grads = context.all_reduce(tf.distribute.ReduceOp.SUM, grads)
        losses = context.all_reduce(tf.distribute.ReduceOp.SUM, losses)
        # The optimizer clips by the same expression, which TensorFlow computes once.
        norm = tf.linalg.global_norm(grads)
        optimizer.apply_gradients(
            zip(grads, variables, strict=True), skip_gradients_aggregation=True
        )
        return {**losses, "gradient_norm": norm}

    return step


def _with_distinct_rows(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """A sparse gradient with its repeated rows added up; a dense gradient is returned as it is.

    A batch looks up some hundred of 30,522 word embeddings. All other rows of the gradient are
    zero, so the norm of these rows, each of which is in the result once, is that of the whole.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, positions = tf.unique(gradient.indices)
    rows = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(indices))
    return tf.IndexedSlices(rows, indices, gradient.dense_shape)


def _split_shape(x: tf.Tensor, parts: int) -> tf.Tensor:
    shape = tf.shape(x)
    return tf.concat([[parts, shape[0] // parts], shape[1:]], axis=0)
