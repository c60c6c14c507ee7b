"""Lineage of a model: the trainings that its weights went through, the first one first.

Each is an object of digests and settings, without paths, since a model card is made to be published:

    training                 "pre-training", "distillation" or "fine-tuning"
    contents                 name -> SHA-256 of what decided it: start, vocabulary, training data, ...
    teacher_weights_sha256, transfer_set_sha256    of a distillation
    settings                 name -> value of a flag
    updates, weights_sha256  at its end
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.json_objects import COUNT, Kind

Lineage = Sequence[Mapping[str, Any]]

# Settings of a training that are kept, of those that are recorded.
_SETTINGS = (
    "task_name",
    "max_seq_length",
    "learning_rate",
    "adam_bias_correction",
    "dropout_prob",
    "train_batch_size",
    "num_train_epochs",
    "num_train_steps",
    "warmup_proportion",
    "temperature",
    "hard_label_weight",
    "init_strategy",
    "random_seed",
    "precision",
)
# The content that tells what kind of training it was (`training.identity`).
_TRAININGS = {
    "training records": "pre-training",
    "soft labels": "distillation",
    "training data": "fine-tuning",
}


def _is_stage(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("training", ""), str)
        and isinstance(value.get("contents", {}), dict)
        and isinstance(value.get("settings", {}), dict)
        and COUNT.fits(value.get("updates", 0))
    )


STAGES = Kind(
    "a list of trainings (checkpoints/lineage.py)",
    lambda value: isinstance(value, list) and all(map(_is_stage, value)),
)


def lineage_of(info: Mapping[str, Any]) -> Lineage:
    """The lineage of a model by its `model_info.json`; none where nothing is recorded."""
    before = info.get("lineage") or []
    return [*before, _stage(info)] if info.get("made_from") else before


def _stage(info: Mapping[str, Any]) -> dict[str, Any]:
    """The training that an `model_info.json` of a run describes."""
    contents = {
        name: content.get("sha256")
        for name, content in info["made_from"].items()
        if isinstance(content, dict) and content.get("sha256")
    }
    flags = info.get("flags") or {}
    training = next((kind for name, kind in _TRAININGS.items() if name in contents), None)
    stage = {
        "training": training,
        "teacher_weights_sha256": info.get("teacher_weights_sha256"),
        "transfer_set_sha256": info.get("transfer_set_sha256"),
        "contents": contents,
        "settings": {name: flags[name] for name in _SETTINGS if flags.get(name) is not None},
        "updates": info.get("global_step"),
        "weights_sha256": info.get("weights_sha256"),
    }
    return {name: value for name, value in stage.items() if value is not None}
