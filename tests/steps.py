"""Every step a replica can be asked for, as an XLA program of a small model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from benchmarks.xla_programs import batch_spec, stablehlo
from classification.objective import ClassificationObjective, RegressionObjective
from data.classifier_records import feature_spec as classifier_spec
from data.record_sets import FeatureSpec
from distillation.objective import DistillationObjective, RegressionDistillationObjective
from distillation.patience import Patience, teacher_outputs
from distillation.soft_labels import feature_spec as soft_label_spec
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.optimization import AdamWeightDecay, WarmupLinearDecay
from pretraining.distillation_objective import MaskedLmDistillationObjective, TripleLoss
from pretraining.objective import PretrainingObjective
from pretraining.objective import feature_spec as pretraining_spec
from training.updates import Batch, Objective, replica_step

BATCH_SIZE, LENGTH, PREDICTIONS, LABELS = 4, 24, 3, 3
CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=LENGTH,
)
PATIENCE = Patience(weight=10.0, student_layers=(1,), columns=(1,))


def _objective(kind: str, precision: str) -> Objective:
    if kind.startswith("pre-training"):
        model = PretrainingModel(CONFIG, precision)
        if kind == "pre-training":
            return PretrainingObjective(model)
        teacher = PretrainingModel(CONFIG, precision)
        return MaskedLmDistillationObjective(model, teacher, TripleLoss())
    if kind == "regression":
        return RegressionObjective(ClassifierModel(CONFIG, 1, precision))
    if kind == "distillation of scores":
        return RegressionDistillationObjective(ClassifierModel(CONFIG, 1, precision), 0.5)
    if kind == "distillation with patience":
        deeper = ClassifierModel(
            dataclasses.replace(CONFIG, num_hidden_layers=2), LABELS, precision
        )
        return DistillationObjective(deeper, 2.0, hard_label_weight=0.5, patience=PATIENCE)
    objective = {"fine-tuning": ClassificationObjective, "distillation": DistillationObjective}
    return objective[kind](ClassifierModel(CONFIG, LABELS, precision))


def _features(kind: str, length: int) -> FeatureSpec:
    if kind.startswith("pre-training"):
        return pretraining_spec(length, PREDICTIONS)
    if kind in ("fine-tuning", "regression"):
        return classifier_spec(length, is_regression=kind == "regression")
    states = (2, CONFIG.hidden_size) if kind == "distillation with patience" else None
    labels = [] if kind == "distillation of scores" else [str(i) for i in range(LABELS)]
    return soft_label_spec(length, labels, states)


TRAINING_KINDS = [
    "pre-training",
    "pre-training with a teacher",
    "fine-tuning",
    "regression",
    "distillation",
    "distillation with patience",
    "distillation of scores",
]


@functools.cache
def training_program(kind: str, precision: str, parts: int = 1, length: int = LENGTH) -> str:
    """StableHLO of an update."""
    objective = _objective(kind, precision)
    optimizer = AdamWeightDecay(WarmupLinearDecay(1e-3, 100, 10))
    optimizer.build(objective.model.trainable_variables)
    step = replica_step(objective, optimizer, parts)
    return stablehlo(step, batch_spec(_features(kind, length), BATCH_SIZE))


# Steps without an update, and the records they read.
_FORWARD: dict[str, tuple[Callable[[str], Callable[[Batch], object]], str]] = {
    "prediction": (lambda precision: ClassifierModel(CONFIG, LABELS, precision), "fine-tuning"),
    "prediction of scores": (lambda precision: ClassifierModel(CONFIG, 1, precision), "regression"),
    "soft labels": (
        lambda precision: teacher_outputs(ClassifierModel(CONFIG, LABELS, precision), [1]),
        "fine-tuning",
    ),
    "evaluation of pre-training": (
        lambda precision: PretrainingObjective(PretrainingModel(CONFIG, precision)).metrics,
        "pre-training",
    ),
}
FORWARD_KINDS = list(_FORWARD)


@functools.cache
def forward_program(kind: str, precision: str, length: int = LENGTH) -> str:
    """StableHLO of a step that changes no weights."""
    make_step, records = _FORWARD[kind]
    spec = batch_spec(_features(records, length), BATCH_SIZE)
    spec["is_real_row"] = tf.TensorSpec([BATCH_SIZE], tf.float32)
    return stablehlo(make_step(precision), spec)
