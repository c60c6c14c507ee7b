"""The model card of a Hugging Face folder: `README.md` with labels, figures and lineage.

It says what `model_info.json` and `eval_results.json` beside the weights record: digests and
settings, but no paths, since a card is made to be published.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from checkpoints.tokenizer_files import INFO_FILE
from common.errors import UserError
from common.files import exists, read_json
from common.markdown import table
from modeling.config import BertConfig
from modeling.heads import CLASSIFIER_WEIGHTS

CARD = "README.md"
_RESULTS = "eval_results.json"
# Settings of a training that are shown, of those that are recorded.
_SETTINGS = (
    "learning_rate",
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


def model_card(
    folder: str,
    weights: Mapping[str, Any],
    config: BertConfig,
    labels: Sequence[str] | None,
    facts: Mapping[str, Any],
) -> str:
    """The text of the card.

    Args:
      folder: Folder of the model before its conversion, for what is recorded beside its weights.
      weights: Their names.
      config: The architecture.
      labels: Of the classifier in the order of its outputs; none of a regression, None where they are
        not known.
      facts: Length, casing and the like, as far as they are known: name -> value.
    """
    info, results = (_recorded(os.path.join(folder, name)) for name in (INFO_FILE, _RESULTS))
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
    parts += ["## Lineage", _table(_lineage(info)) if info else "Not recorded."]
    parts += ["## Licence", "To be chosen by whoever publishes the model."]
    return "\n\n".join(parts) + "\n"


def _recorded(path: str) -> dict[str, Any]:
    """Content of a file; nothing where there is none, or it is no JSON object."""
    try:
        found = read_json(path) if exists(path) else {}
    except UserError:
        found = {}
    return found if isinstance(found, dict) else {}


def _lineage(info: Mapping[str, Any]) -> dict[str, Any]:
    """Teacher, data and settings, by digest where they are files."""
    made_from, flags = info.get("made_from"), info.get("flags")
    contents = made_from if isinstance(made_from, dict) else {}
    settings = flags if isinstance(flags, dict) else {}
    found = {
        "teacher (SHA-256 of its weights)": info.get("teacher_weights_sha256"),
        **{
            f"{name} (SHA-256)": value.get("sha256")
            for name, value in contents.items()
            if isinstance(value, dict)
        },
        "weights before the conversion (SHA-256)": info.get("weights_sha256"),
        "vocabulary (SHA-256)": info.get("vocab_sha256"),
        "updates": info.get("global_step"),
        **{name: settings.get(name) for name in _SETTINGS},
    }
    return {name: value for name, value in found.items() if value is not None}


def _table(rows: Mapping[Any, Any], head: tuple[str, str] = ("", "")) -> str:
    return "\n".join(table(head, [[_cell(name), _cell(value)] for name, value in rows.items()]))


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", r"\|").split())
