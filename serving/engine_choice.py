"""The engine of a model's outputs: a runtime and a precision, chosen on its first rows.

Another runtime than TensorFlow labels or predicts only after its answers for the first rows were
compared with TensorFlow's in float32; and so does bfloat16 where nobody asked for it by name.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from common.errors import UserError
from common.quiet import without_warnings
from modeling.bert import INPUTS
from serving.cpu_engines import BFLOAT16, FLOAT32, INT8, RUNTIMES, Program
from training.devices import describe_devices, has_gpus, multiply_bfloat16
from training.engine import BatchOutputs, Engine, Forward
from training.strategy import is_single_worker, lengths_may_vary

# Engine or precision that is chosen here.
AUTO = "auto"
TENSORFLOW = "tensorflow"
ENGINES: Sequence[str] = (AUTO, TENSORFLOW, *RUNTIMES)
# Those that are faster than TensorFlow, the fastest first (docs/measurements.md). LiteRT in float32
# is not, and takes seconds to convert.
FASTEST = {
    FLOAT32: ("openvino", "onnxruntime"),
    BFLOAT16: ("openvino",),
    INT8: ("litert", "onnxruntime"),
}

# Rows from which on `AUTO` opens another runtime than TensorFlow: to open and compare it takes as
# long as it gains with that many (docs/measurements.md).
MIN_ROWS = 10_000

# An engine is used if its outputs differ from TensorFlow's in float32 by no more than this: the
# absolute difference of a probability, or the difference of a score or vector divided by the larger
# of 1 and the largest magnitude; and if at least this share of the rows gets the same label. In
# bfloat16 TensorFlow itself differs by 0.014 on SST-2 (docs/measurements.md).
BOUNDS = {FLOAT32: 1e-3, BFLOAT16: 0.03, INT8: 0.2}
EQUAL_DECISIONS = 0.99
# The rows that are compared: the first that have no more tokens than this.
SAMPLE_ROWS, _SAMPLE_TOKENS = 400, 12_000
# Texts of full length in a batch of them.
_SAMPLE_BATCH = 8


# Outputs for some rows, batch by batch; those of two engines for the same rows have equal shapes.
Batches: TypeAlias = Sequence[np.ndarray]


class Agreement(NamedTuple):
    """Agreement of an engine with TensorFlow in float32 on some rows.

    Attributes:
      rows: Number of rows.
      difference: Largest difference of a probability, score or vector (see `BOUNDS`).
      equal: Share of the rows that are decided alike.
    """

    rows: int
    difference: float
    equal: float

    def holds(self, precision: str) -> bool:
        # A value that is no number is beyond every bound.
        return self.difference <= BOUNDS[precision] and self.equal >= EQUAL_DECISIONS

    def __str__(self) -> str:
        return (
            f"on the first {self.rows} rows it differs from TensorFlow in float32 by "
            f"{self.difference:.2g} at most, and {100 * self.equal:.4g} % of decisions are equal"
        )


def compare_values(expected: Batches, found: Batches) -> Agreement:
    """Agreement of scores or vectors, float32 [batch_size, ...]; they decide nothing."""
    before, after = (np.concatenate([x.ravel() for x in batches]) for batches in (expected, found))
    scale = max(1.0, float(np.abs(before).max()))
    return Agreement(sum(map(len, expected)), float(np.abs(after - before).max()) / scale, 1.0)


def compare_logits(expected: Batches, found: Batches) -> Agreement:
    """Agreement of logits, or of the scores of a regression, float32 [batch_size, num_outputs]."""
    if expected[0].shape[1] == 1:
        return compare_values(expected, found)
    before, after = (
        softmax(np.concatenate(batches).astype(np.float64), axis=1) for batches in (expected, found)
    )
    equal = (before.argmax(axis=1) == after.argmax(axis=1)).mean()
    return Agreement(len(before), float(np.abs(after - before).max()), float(equal))


class Outputs(NamedTuple):
    """Outputs of a model, as engines compute them.

    Attributes:
      by_tensorflow: Gives the forward pass in a precision, compiled when it is first called.
      compare: Agreement of outputs by TensorFlow in float32 with others.
      program: Makes what other runtimes compute; None where TensorFlow alone can.
    """

    by_tensorflow: Callable[[str], Forward]
    compare: Callable[[Batches, Batches], Agreement]
    program: Callable[[], Program] | None = None


class ChosenEngine:
    """Outputs of a model, by the engine that is chosen on its first rows.

    Attributes:
      choice: Name and precision of the engine; None before the first rows.

    Args:
      outputs: The outputs.
      engine: As in `check_engine`.
      precision: As in `check_engine`.
      strategy: The devices.
      batch_size: As in `Engine`.
      most_tokens: As in `Engine`.
    """

    def __init__(
        self,
        outputs: Outputs,
        engine: str,
        precision: str,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        most_tokens: int | None = None,
    ):
        self._outputs, self._strategy = outputs, strategy
        self._batch_size, self._most_tokens = batch_size, most_tokens
        self._name, self._precision = engine, precision
        self._engine: Engine | None = None
        self.choice: tuple[str, str] | None = None

    def __call__(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """`Engine.__call__`; the first call chooses the engine on these rows."""
        return self._opened_engine(features)(features)

    def batches(self, features: Mapping[str, np.ndarray]) -> Iterator[BatchOutputs]:
        """`Engine.batches`, likewise."""
        return self._opened_engine(features).batches(features)

    def choose(self, features: Mapping[str, np.ndarray], num_rows: int | None = None) -> None:
        """Opens the engine, unless it is open, and says in one line which it is and why.

        Args:
          features: The first rows, int32 `INPUTS` [num_rows, seq_length], one or more.
          num_rows: Number of rows that are known to come; by default those of `features`.

        Raises:
          UserError: The one engine that was asked for cannot be opened or is not exact enough.
        """
        if not self._engine:
            num_rows = num_rows or len(features["input_ids"])
            forward, self.choice = self._try_candidates(features, num_rows)
            self._engine = Engine(forward, self._strategy, self._batch_size, self._most_tokens)

    def _try_candidates(
        self, features: Mapping[str, np.ndarray], num_rows: int
    ) -> tuple[Forward, tuple[str, str]]:
        """The forward pass, and its engine and precision; errors as of `choose`."""
        candidates, reasons = _candidates(self._name, self._precision, self._strategy, num_rows)
        sample = _sample(features)
        by_tensorflow = functools.cache(self._outputs.by_tensorflow)
        expected = self._computed(by_tensorflow(FLOAT32), sample) if candidates else ()
        for name, precision in candidates:
            try:
                forward, agreement = self._opened(name, precision, expected, sample)
            except UserError as error:
                if self._name not in (AUTO, TENSORFLOW) and precision == candidates[-1][1]:
                    raise
                reasons.append(str(error))
                continue
            is_fastest = self._name == AUTO and name != TENSORFLOW
            why = ", the fastest that is installed" if is_fastest else ""
            why += "".join(f" ({reason})" for reason in reasons)
            logging.info("Engine: %s in %s%s; %s.", name, precision, why, agreement)
            return forward, (name, precision)
        precision = self._precision if self._precision == BFLOAT16 else FLOAT32
        if reasons:
            why = "; ".join(reason.rstrip(".") for reason in reasons)
            logging.info("Engine: %s in %s; %s.", TENSORFLOW, precision, why)
        return by_tensorflow(precision), (TENSORFLOW, precision)

    def _opened_engine(self, features: Mapping[str, np.ndarray]) -> Engine:
        self.choose(features)
        assert self._engine
        return self._engine

    def _computed(self, forward: Forward, sample: Mapping[str, np.ndarray]) -> Batches:
        engine = Engine(forward, self._strategy, _SAMPLE_BATCH)
        return [batch.values for batch in engine.batches(sample)]

    def _opened(
        self, name: str, precision: str, expected: Batches, sample: Mapping[str, np.ndarray]
    ) -> tuple[Forward, Agreement]:
        """An engine that agrees with TensorFlow on the sample, and how closely.

        Raises:
          UserError: It does not, or cannot compute the model.
        """
        try:
            with without_warnings():
                if name == TENSORFLOW:
                    forward = self._outputs.by_tensorflow(precision)
                else:
                    assert self._outputs.program
                    forward = RUNTIMES[name].open(self._outputs.program(), precision)
            found = self._computed(forward, sample)
        except UserError:
            raise
        except Exception as error:  # Each runtime has kinds of its own.
            raise UserError(
                f"{name} cannot compute this model in {precision} ({_first_line(error)}); take "
                "engine=tensorflow."
            ) from error
        agreement = self._outputs.compare(expected, found)
        if not agreement.holds(precision):
            raise UserError(
                f"{name} in {precision} is not exact enough for this model: {agreement}, where "
                f"{BOUNDS[precision]:g} and {100 * EQUAL_DECISIONS:g} % are the bounds; take "
                "engine=tensorflow, or precision=float32."
            )
        return forward, agreement


def check_engine(engine: str, precision: str, strategy: tf.distribute.Strategy) -> None:
    """Refuses an engine before anything is loaded.

    Args:
      engine: Name of an engine, or "auto": the fastest that is installed, where there are at least
        `MIN_ROWS` rows.
      precision: "float32", "bfloat16" or "int8"; or "auto": bfloat16 where the devices multiply it
        and its answers for the first rows differ from float32's by no more than `BOUNDS`, else
        float32.
      strategy: The devices.

    Raises:
      UserError: The engine is not installed, or does not compute so or there.
    """
    precisions = (AUTO, *BOUNDS)
    if engine not in ENGINES or precision not in precisions:
        raise UserError(
            f"found engine={engine} and precision={precision}, expected one of {', '.join(ENGINES)}, "
            f"and one of {', '.join(precisions)}."
        )
    if engine == AUTO:
        if precision == INT8 and not _installed(INT8, strategy):
            raise UserError(
                "precision=int8 is computed by LiteRT or ONNX Runtime, on the CPU of one process; "
                "there, install LiteRT (pip install ai-edge-litert), or take another precision."
            )
        return
    if engine == TENSORFLOW:
        if precision == INT8:
            raise UserError(
                "engine=tensorflow computes in float32 or bfloat16, found precision=int8; take "
                "engine=litert, or another precision."
            )
        return
    if not _is_one_cpu(strategy):
        raise UserError(
            f"engine={engine} computes on the CPU of one process, but the devices are "
            f"{describe_devices(strategy)}; take engine=auto, with which TensorFlow computes there."
        )
    runtime = RUNTIMES[engine]
    if precision not in (AUTO, *runtime.precisions):
        raise UserError(
            f"engine={engine} computes in {' or '.join(runtime.precisions)}, found "
            f"precision={precision}; take one of these, or engine=auto."
        )
    if missing := runtime.missing():
        raise UserError(
            f"engine={engine} needs the package {missing}; install it (pip install "
            f"{runtime.install}), or take engine=auto."
        )


def _candidates(
    engine: str, precision: str, strategy: tf.distribute.Strategy, num_rows: int
) -> tuple[list[tuple[str, str]], list[str]]:
    """Engines and precisions to compare, in their order, and reasons why others are not among them.

    TensorFlow in the precision that was asked for, or in float32, needs no comparison and computes
    where none of them does.
    """
    reasons: list[str] = []
    precisions = [precision]
    if precision == AUTO:
        precisions = [FLOAT32]
        if obstacle := _obstacle_to_bfloat16(strategy):
            reasons.append(obstacle)
        else:
            precisions.insert(0, BFLOAT16)
    found = []
    for each in precisions:
        if engine == AUTO:
            found += [(name, each) for name in _installed(each, strategy)]
        elif engine != TENSORFLOW and each in RUNTIMES[engine].precisions:
            found.append((engine, each))
        if precision == AUTO and each == BFLOAT16 and engine in (AUTO, TENSORFLOW):
            found.append((TENSORFLOW, each))
    others = [candidate for candidate in found if candidate[0] != TENSORFLOW]
    if engine == AUTO and precision != INT8:
        if others and num_rows < MIN_ROWS:
            found = [candidate for candidate in found if candidate not in others]
            reasons.append(
                f"other engines are used for {MIN_ROWS} rows or more, and there are {num_rows}"
            )
        elif not others:
            reasons.append(_reason_for_tensorflow(precisions[0], strategy))
    return found, reasons


def _obstacle_to_bfloat16(strategy: tf.distribute.Strategy) -> str | None:
    """The reason why `AUTO` does not look at bfloat16."""
    if not (is_single_worker(strategy) and lengths_may_vary(strategy)):
        return "precision=auto tries bfloat16 only on the CPU or the GPUs of one process alone"
    if not multiply_bfloat16(strategy):
        return "bfloat16 is not multiplied by these devices"
    return None


def _is_one_cpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether other runtimes can take the place of TensorFlow's devices."""
    return (
        is_single_worker(strategy)
        and lengths_may_vary(strategy)
        and strategy.num_replicas_in_sync == 1
        and not has_gpus(strategy)
    )


def _installed(precision: str, strategy: tf.distribute.Strategy) -> list[str]:
    """The runtimes that are faster than TensorFlow here, the fastest first."""
    names = FASTEST[precision] if _is_one_cpu(strategy) else ()
    return [name for name in names if not RUNTIMES[name].missing()]


def _reason_for_tensorflow(precision: str, strategy: tf.distribute.Strategy) -> str:
    if not _is_one_cpu(strategy):
        return "others compute on the CPU of one process alone"
    fastest = RUNTIMES[FASTEST[precision][0]]
    return f"no faster one is installed for {precision} (pip install {fastest.install})"


def _sample(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first rows."""
    tokens = features["input_mask"][:SAMPLE_ROWS].sum(axis=1).cumsum()
    rows = max(1, int(np.searchsorted(tokens, _SAMPLE_TOKENS, side="right")))
    return {name: features[name][:rows] for name in INPUTS}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
