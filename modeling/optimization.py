"""The original's optimizer and learning-rate schedule.

Source: `optimization.py` of google-research/bert (`create_optimizer`, `AdamWeightDecayOptimizer`).
Model Garden's class of the same name inherits bias correction from Keras Adam; this one corrects
only where it is asked to, adds epsilon outside the root, and decays weights by the learning rate.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

# Patterns searched in variable names; what matches is not decayed. Every bias and layer norm
# vector is exempt, the MLM output bias and the classifier's bias among them.
NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")

BETA_1, BETA_2, EPSILON, WEIGHT_DECAY = 0.9, 0.999, 1e-6, 0.01
MAX_GRADIENT_NORM = 1.0


class WarmupLinearDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Linear decay from step 0 to zero at `num_train_steps`, with a linear warm-up laid over it.

    The decay does not wait for the warm-up: at the end of the warm-up the rate drops from nearly
    `learning_rate` to `learning_rate * (1 - num_warmup_steps / num_train_steps)`. The first update
    has rate 0 when there is a warm-up.

    Each of the three may be a scalar `tf.Variable`, so that one compiled update serves every
    schedule.
    """

    def __init__(
        self,
        learning_rate: float | tf.Variable,
        num_train_steps: int | tf.Variable,
        num_warmup_steps: int | tf.Variable,
    ):
        self.learning_rate = learning_rate
        self.num_train_steps = num_train_steps
        self.num_warmup_steps = num_warmup_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of the update that follows `step` finished updates, a float32 scalar.

        Divisions are products with the reciprocal, as TensorFlow makes them of divisions by
        constants: so numbers and variables give the same rate to the last bit.
        """
        step = tf.cast(step, tf.float32)
        rate = tf.cast(self.learning_rate, tf.float32)
        decayed = rate * (1.0 - tf.minimum(step * _reciprocal(self.num_train_steps), 1.0))
        warming = step * (rate * _reciprocal(self.num_warmup_steps))
        return tf.where(step < tf.cast(self.num_warmup_steps, tf.float32), warming, decayed)

    def get_config(self) -> dict[str, float]:
        return {
            "learning_rate": self.learning_rate,
            "num_train_steps": self.num_train_steps,
            "num_warmup_steps": self.num_warmup_steps,
        }


def _reciprocal(num_steps: int | tf.Variable) -> tf.Tensor:
    return 1.0 / tf.maximum(tf.cast(num_steps, tf.float32), 1.0)


def is_decayed(name: str) -> bool:
    """Whether the original's rule applies weight decay to the variable of this name."""
    return not any(re.search(pattern, name) for pattern in NOT_DECAYED)


class AdamWeightDecay(tf_keras.optimizers.Optimizer):
    """Adam without bias correction, with decoupled weight decay, as in the original.

    For gradient g (all gradients together clipped to norm 1): m = .9 m + .1 g;
    v = .999 v + .001 g^2; w = w - lr * (m / (sqrt(v) + 1e-6) + .01 w).

    Args:
      learning_rate: The schedule.
      bias_correction: Multiply m / (sqrt(v) + 1e-6) of update t by sqrt(1 - .999^t) / (1 - .9^t), as
        Keras and Model Garden do (Kingma and Ba 2015, end of section 2). The factor is 0.32
        at t = 1, 0.15 at t = 13 and 0.8 at t = 1000. The moments are the same either way.
    """

    def __init__(self, learning_rate: WarmupLinearDecay, bias_correction: bool = False):
        super().__init__(
            name="AdamWeightDecay",
            weight_decay=None,  # Keras' default of 0 goes over all weights to change nothing.
            global_clipnorm=MAX_GRADIENT_NORM,
            jit_compile=False,
        )
        self.schedule = learning_rate
        self.bias_correction = bias_correction
        self._learning_rate = self._build_learning_rate(learning_rate)

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self.first_moments = [
            self.add_variable_from_reference(v, variable_name="adam_m") for v in var_list
        ]
        self.second_moments = [
            self.add_variable_from_reference(v, variable_name="adam_v") for v in var_list
        ]
        self._built = True

    def slots(self, var_list: Sequence[tf.Variable]) -> dict[str, tf.Variable]:
        """The moments by the names an original training checkpoint has for them."""
        self.build(var_list)
        named = {}
        for i, variable in enumerate(var_list):
            name = variable.name.removesuffix(":0")
            named[f"{name}/adam_m"] = self.first_moments[i]
            named[f"{name}/adam_v"] = self.second_moments[i]
        return named

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[tf.Tensor, tf.Variable]], **options: Any
    ) -> tf.Variable:
        # The fused Adam kernel multiplies the rate by sqrt(1 - beta2^t) / (1 - beta1^t); with both
        # powers given as zero that factor is one, which is the original's missing correction.
        powers = [tf.constant(0.0)] * 2
        if self.bias_correction:
            update = tf.cast(self.iterations + 1, tf.float32)
            powers = [BETA_1**update, BETA_2**update]
        # Once and not for each variable, where they would be most of what is traced.
        self._apply_adam = functools.partial(
            tf.raw_ops.ResourceApplyAdam,
            beta1_power=powers[0],
            beta2_power=powers[1],
            beta1=tf.constant(BETA_1),
            beta2=tf.constant(BETA_2),
            epsilon=tf.constant(EPSILON),
        )
        return super().apply_gradients(grads_and_vars, **options)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        rate = tf.cast(self.learning_rate, variable.dtype)
        index = self._index_dict[self._var_key(variable)]
        if is_decayed(variable.name):
            # Not before the backward pass: while that holds the old value, TensorFlow copies it.
            with tf.control_dependencies([gradient]):
                variable.assign_sub(rate * WEIGHT_DECAY * variable)
        self._apply_adam(
            var=variable.handle,
            m=self.first_moments[index].handle,
            v=self.second_moments[index].handle,
            lr=rate,
            grad=tf.convert_to_tensor(gradient),
        )

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "learning_rate": self._learning_rate.get_config(),
            "bias_correction": self.bias_correction,
        }
