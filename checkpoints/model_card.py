"""The model card of a Hugging Face folder: `README.md` with labels, figures and lineage."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from checkpoints.lineage import Lineage
from common.errors import UserError
from common.files import exists, read_json
from common.markdown import table
from modeling.config import BertConfig
from modeling.heads import CLASSIFIER_WEIGHTS

CARD = "README.md"
_RESULTS = "eval_results.json"


def model_card(
    folder: str,
    weights: Mapping[str, Any],
    config: BertConfig,
    labels: Sequence[str] | None,
    facts: Mapping[str, Any],
    lineage: Lineage,
) -> str:
    """The text of the card.

    Args:
      folder: Folder of the model before its conversion, for the figures beside its weights.
      weights: Their names.
      config: The architecture.
      labels: Of the classifier in the order of its outputs; none of a regression, None where they are
        not known.
      facts: Length, casing and the like, as far as they are known: name -> value.
      lineage: The model's.
    """
    results = _recorded(os.path.join(folder, _RESULTS))
    is_classifier = CLASSIFIER_WEIGHTS in weights
    tag = "text-classification" if is_classifier else "feature-extraction"
    kind = "a classifier" if is_classifier else "an encoder"
    if labels is not None and not labels:
        kind = "a regression (one score)"
    size = (
        f"{config.num_hidden_layers} layers, {config.hidden_size} wide, {config.vocab_size} words"
    )
    parts = [
        "\n".join(["---", "library_name: transformers", f"pipeline_tag: {tag}", "license: other"])
        + "\nlicense_name: to-be-chosen\n---",
        f"# BERT, {config.num_hidden_layers}/{config.hidden_size}",
        f"BERT as {kind}: {size}.",
        _table({name: value for name, value in facts.items() if value is not None}),
    ]
    if labels:
        parts += ["## Labels", _table(dict(enumerate(labels)), ("output", "label"))]
    figures = {
        name.removeprefix("eval_"): f"{value:.4f}"
        for name, value in sorted(results.items())
        if name.startswith("eval_") and isinstance(value, float)
    }
    rows = f" of {results['rows']} rows" if isinstance(results.get("rows"), int) else ""
    parts += ["## Evaluation"]
    parts += [f"On the development set{rows}:", _table(figures)] if figures else ["Not recorded."]
    parts += ["## Lineage", *([] if lineage else ["Not recorded."])]
    for number, stage in enumerate(lineage, 1):
        parts += [f"### {number}. {stage.get('training', 'training').capitalize()}", _stage(stage)]
    parts += ["## Licence", "To be chosen by whoever publishes the model."]
    return "\n\n".join(parts) + "\n"


def _recorded(path: str) -> dict[str, Any]:
    """Content of a file; nothing where there is none, or it is no JSON object."""
    try:
        found = read_json(path) if exists(path) else {}
    except UserError:
        found = {}
    return found if isinstance(found, dict) else {}


def _stage(stage: Mapping[str, Any]) -> str:
    """A training as a table: teacher, data and settings."""
    rows = {
        "teacher (SHA-256 of its weights)": stage.get("teacher_weights_sha256"),
        "transfer set (SHA-256)": stage.get("transfer_set_sha256"),
        **{f"{name} (SHA-256)": value for name, value in stage.get("contents", {}).items()},
        "weights at its end (SHA-256)": stage.get("weights_sha256"),
        "updates": stage.get("updates"),
        **stage.get("settings", {}),
    }
    return _table({name: value for name, value in rows.items() if value is not None})


def _table(rows: Mapping[Any, Any], head: tuple[str, str] = ("", "")) -> str:
    return "\n".join(table(head, [[_cell(name), _cell(value)] for name, value in rows.items()]))


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", r"\|").split())
