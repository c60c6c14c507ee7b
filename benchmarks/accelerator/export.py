"""Pre-training as XLA programs: what a machine without TensorFlow needs to train our models.

  python -m benchmarks.accelerator.export --models=tiny,4/512 --batch_size=256 --max_seq_length=64 \\
    --max_predictions_per_seq=10 --output_dir=programs

For each model a folder such as `4-512`: `update.mlir`, one update with optimizer, schedule and
dropout; `metrics.mlir`, the evaluation; `program.json`, what their parameters and results are.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.xla_programs import BatchSpec, Program, batch_spec, program
from checkpoints.weights import variable_name
from common.atomic import write_json, write_text
from modeling.config import BertConfig, load_config
from modeling.heads import PretrainingModel
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from pretraining.objective import PretrainingObjective, feature_spec
from training import cli
from training.updates import Batch, replica_step

FLAGS = flags.FLAGS

UPDATE, METRICS, DESCRIPTION = "update.mlir", "metrics.mlir", "program.json"
# The numbers of the schedule, which are variables of the program.
SCHEDULE = ("learning_rate", "num_train_steps", "num_warmup_steps")


@dataclasses.dataclass(frozen=True)
class Setting:
    """Shapes and precision of the programs.

    Attributes:
      batch_size: Records of an update, and of a step of the evaluation.
      max_seq_length: Positions of a record.
      max_predictions_per_seq: Predictions of a record.
      precision: "float32" or "bfloat16".
      random_seed: Seed of dropout.
    """

    batch_size: int
    max_seq_length: int
    max_predictions_per_seq: int
    precision: str = "bfloat16"
    random_seed: int = 0


class Pretraining:
    """A model with its optimizer, whose schedule is a set of variables.

    Attributes:
      model: The model.
      optimizer: Its optimizer, whose variables exist.
      schedule: Name of `SCHEDULE` -> variable.
      objective: The loss, and the metrics.
      variables: All variables, each of another name.
    """

    def __init__(self, config: BertConfig, setting: Setting):
        self.model = PretrainingModel(config, setting.precision)
        self.schedule = {
            name: tf.Variable(
                tf.zeros([], tf.float32 if name == "learning_rate" else tf.int32), name=name
            )
            for name in SCHEDULE
        }
        self.optimizer = AdamWeightDecay(WarmupLinearDecay(*self.schedule.values()))
        self.optimizer.build(self.model.trainable_variables)
        self.objective = PretrainingObjective(self.model)
        self.variables: list[tf.Variable] = [
            *self.model.trainable_variables,
            *self.schedule.values(),
            *self.optimizer.variables,
            self.optimizer._current_learning_rate,
        ]
        self.update = replica_step(self.objective, self.optimizer, seed=setting.random_seed)
        self._features = feature_spec(setting.max_seq_length, setting.max_predictions_per_seq)
        self.spec = batch_spec(self._features, setting.batch_size)

    def programs(self) -> dict[str, Program]:
        """The update, and the evaluation of a batch: [sum, count] of each metric."""
        real = tf.TensorSpec([self.spec["input_ids"].shape[0]], tf.float32)

        def metrics(batch: Batch) -> dict[str, tf.Tensor]:
            return {name: tf.stack(pair) for name, pair in self.objective.metrics(batch).items()}

        return {
            UPDATE: program(self.update, self.spec, self.variables),
            METRICS: program(metrics, {**self.spec, "is_real_row": real}, self.variables),
        }


def write_programs(folder: str, config: BertConfig, setting: Setting) -> None:
    """Writes the files of one model."""
    training = Pretraining(config, setting)
    write_folder(
        folder,
        {"config": config.to_dict(), **dataclasses.asdict(setting)},
        training.spec,
        training.model.trainable_variables,
        training.variables,
        training.programs(),
    )


def write_folder(
    folder: str,
    facts: Mapping[str, Any],
    spec: BatchSpec,
    model_variables: Sequence[tf.Variable],
    variables: Sequence[tf.Variable],
    programs: Mapping[str, Program],
) -> None:
    """Writes programs and their description.

    Args:
      folder: Is made.
      facts: The architecture as `config`, and what else is to be known of the programs.
      spec: The batch.
      model_variables: The model's weights.
      variables: All variables that the programs take.
      programs: File -> program.
    """
    os.makedirs(folder, exist_ok=True)
    for name, made in programs.items():
        write_text(os.path.join(folder, name), without_locations(made.stablehlo))
    stddev = facts["config"]["initializer_range"]
    description: dict[str, Any] = {
        **facts,
        "batch": {name: [x.shape.as_list(), x.dtype.name] for name, x in spec.items()},
        "model_variables": [variable_name(v) for v in model_variables],
        "variables": {
            variable_name(v): {
                "shape": v.shape.as_list(),
                "dtype": v.dtype.name,
                "start": _start(v.numpy(), stddev),
            }
            for v in variables
        },
        "programs": {
            name: {"variables": made.variables, "results": made.results, "updated": made.updated}
            for name, made in programs.items()
        },
    }
    write_json(os.path.join(folder, DESCRIPTION), description)


def _start(value: np.ndarray, stddev: float) -> float | dict[str, float]:
    """The number an initial value consists of, or the deviation of its truncated normal."""
    if (value == value.flat[0]).all():
        return float(value.flat[0])
    return {"truncated_normal": stddev}


def without_locations(text: str) -> str:
    """StableHLO without the names of the operations it comes from, nine tenths of the text."""
    text = re.sub(r"^#loc.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r' loc\((?:"[^"]*"|[^()"])*\)', "", text)


def folder_name(config: BertConfig) -> str:
    return f"{config.num_hidden_layers}-{config.hidden_size}"


def _define_flags() -> None:
    flags.DEFINE_list("models", ["tiny"], "Sizes by name (tiny, 6/512), or configurations.")
    flags.DEFINE_integer("batch_size", 256, "Records per update.")
    flags.DEFINE_integer("max_seq_length", 64, "Positions of a record.")
    flags.DEFINE_integer("max_predictions_per_seq", 10, "Predictions of a record.")
    flags.DEFINE_enum("precision", "bfloat16", ["float32", "bfloat16"], "Of matrix products.")
    flags.DEFINE_float("initializer_range", None, "Deviation of initial weights, if not 0.02.")
    flags.DEFINE_string("output_dir", None, "Folder for the programs.", required=True)


def main(_: Sequence[str]) -> None:
    setting = Setting(
        FLAGS.batch_size, FLAGS.max_seq_length, FLAGS.max_predictions_per_seq, FLAGS.precision
    )
    for model in FLAGS.models:
        config = load_config(model)
        if FLAGS.initializer_range:
            config = dataclasses.replace(config, initializer_range=FLAGS.initializer_range)
        write_programs(os.path.join(FLAGS.output_dir, folder_name(config)), config, setting)


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
