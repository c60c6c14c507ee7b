"""Programs whose speed `benchmarks.accelerator.speed` measures on a machine without TensorFlow.

  python -m benchmarks.accelerator.speed_programs --models=tiny,small,base --output_dir=programs

For each model three folders: `pretraining-2-128` and `finetuning-2-128`, an update with its
optimizer; `labelling-2-128`, the logits of a batch.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import tensorflow as tf
from absl import flags

from benchmarks.accelerator.export import (
    UPDATE,
    Pretraining,
    Setting,
    folder_name,
    write_folder,
)
from benchmarks.xla_programs import batch_spec, program
from classification.objective import ClassificationObjective
from data.classifier_records import feature_spec
from modeling.bert import INPUTS
from modeling.config import BertConfig, load_config
from modeling.heads import ClassifierModel
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from training import cli
from training.updates import replica_step

FLAGS = flags.FLAGS

PREDICTIONS = "predictions.mlir"


def write_speed_programs(folder: str, config: BertConfig, setting: Setting) -> None:
    """Writes the folders of one model; of `setting`, predictions count in pre-training alone."""
    facts = {"config": config.to_dict(), **dataclasses.asdict(setting)}
    model = folder_name(config)

    training = Pretraining(config, setting)
    update = {UPDATE: program(training.update, training.spec, training.variables)}
    weights = training.model.trainable_variables
    path = os.path.join(folder, f"pretraining-{model}")
    write_folder(path, facts, training.spec, weights, training.variables, update)

    classifier = ClassifierModel(config, 2, setting.precision)
    weights = classifier.trainable_variables
    optimizer = AdamWeightDecay(WarmupLinearDecay(5e-5, 1000, 100))
    optimizer.build(weights)
    step = replica_step(ClassificationObjective(classifier), optimizer)
    spec = batch_spec(feature_spec(setting.max_seq_length), setting.batch_size)
    variables: list[tf.Variable] = [
        *weights,
        *optimizer.variables,
        optimizer._current_learning_rate,
    ]
    update = {UPDATE: program(step, spec, variables)}
    path = os.path.join(folder, f"finetuning-{model}")
    write_folder(path, facts, spec, weights, variables, update)

    spec = {name: spec[name] for name in INPUTS}
    logits = program(lambda batch: {"logits": classifier(batch)}, spec, weights)
    path = os.path.join(folder, f"labelling-{model}")
    write_folder(path, facts, spec, weights, weights, {PREDICTIONS: logits})


def _define_flags() -> None:
    flags.DEFINE_list("models", ["tiny", "small", "base"], "Sizes by name, or configurations.")
    flags.DEFINE_integer("batch_size", 128, "Records per update, and texts per batch.")
    flags.DEFINE_integer("max_seq_length", 128, "Positions of a record.")
    flags.DEFINE_integer("max_predictions_per_seq", 20, "Predictions of a record.")
    flags.DEFINE_enum("precision", "bfloat16", ["float32", "bfloat16"], "Of matrix products.")
    flags.DEFINE_string("output_dir", None, "Folder for the programs.", required=True)


def main(_: Sequence[str]) -> None:
    setting = Setting(
        FLAGS.batch_size, FLAGS.max_seq_length, FLAGS.max_predictions_per_seq, FLAGS.precision
    )
    for model in FLAGS.models:
        write_speed_programs(FLAGS.output_dir, load_config(model), setting)


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
