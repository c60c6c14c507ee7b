"""The `config.json` of a BERT model of the Hugging Face library, read and written.

Keys and defaults are those of `models/bert` in transformers 4 and 5, where "gelu" means the exact
(erf) form.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import UserError
from common.files import read_json
from modeling.config import ACTIVATION_FUNCTIONS, BertConfig, check_same_architecture

CONFIG = "config.json"


CLASSIFIER = "BertForSequenceClassification"


# `hidden_act` of the library -> one of our functions (`modeling.config`). The first word is written:
# "gelu_new" is known since version 2, and like "gelu_pytorch_tanh" it equals TensorFlow's tanh form
# to 1e-6, a rounding of float32.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "relu": "relu",
    "tanh": "tanh",
    "linear": "linear",
}


# What the library is told of every model.
FIXED = {
    "model_type": "bert",
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
}


# Keys that the library gives a meaning of its own, and that say nothing about the encoder.
_LIBRARY_KEYS = {
    *FIXED,
    *re.findall(
        r"\w+",
        """
        _name_or_path architectures auto_map bad_words_ids begin_suppress_tokens bos_token_id
        chunk_size_feed_forward cross_attention_hidden_size decoder_start_token_id
        diversity_penalty do_sample dtype early_stopping encoder_no_repeat_ngram_size eos_token_id
        exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id
        gradient_checkpointing id2label is_encoder_decoder label2id length_penalty
        max_length min_length no_repeat_ngram_size num_beam_groups num_beams num_labels
        num_return_sequences output_attentions output_hidden_states output_past output_scores
        pad_token_id prefix problem_type pruned_heads remove_invalid_values repetition_penalty
        return_dict return_dict_in_generate sep_token_id suppress_tokens task_specific_params
        temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torch_dtype
        torchscript transformers_version typical_p use_bfloat16 use_cache
        """,
    ),
}


@dataclasses.dataclass(frozen=True)
class HuggingFaceConfig:
    """Description of the model in a Hugging Face folder.

    Attributes:
      config: The architecture.
      labels: Labels of the classifier in the order of its outputs; None without a classifier, and
        where the library has only numbered them. A single numbered one is a regression (the library
        trains it as such), for which the list is empty.
      other_head: Purpose of a classifier for a kind of task that is not ours; None for ours.
    """

    config: BertConfig
    labels: list[str] | None
    other_head: str | None


def read_huggingface_config(folder: str) -> HuggingFaceConfig:
    """Reads `config.json`.

    Raises:
      UserError: It is damaged, or the model computes something else than a BERT encoder does here.
    """
    path = os.path.join(folder, CONFIG)
    values = read_object(path)
    check_same_architecture(values, path)
    activation = values.get("hidden_act")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise UserError(
            f"{path}: hidden_act is {json.dumps(activation)}, expected one of "
            f"{', '.join(ACTIVATIONS)}."
        )
    function = ACTIVATIONS[activation]
    word = next(word for word, ours in ACTIVATION_FUNCTIONS.items() if ours == function)
    described = without_library_keys({**values, "hidden_act": word})
    if described.get("classifier_dropout") is None:
        described["classifier_dropout"] = values.get("hidden_dropout_prob", 0.1)
    labels, other_head = _read_labels(path, values)
    return HuggingFaceConfig(BertConfig.from_dict(described, path), labels, other_head)


def may_have_classifier(config_values: Mapping[str, Any]) -> bool:
    """Whether a tensor "classifier" is the head of the [CLS] vector, and not of every token.

    Configurations from before 2020 do not name the class.
    """
    architectures = config_values.get("architectures")
    return not isinstance(architectures, list) or not architectures or CLASSIFIER in architectures


def _read_labels(
    path: str, config_values: Mapping[str, Any]
) -> tuple[list[str] | None, str | None]:
    """Labels and kind of the classifier, as in `HuggingFaceConfig`."""
    if not may_have_classifier(config_values):
        return None, None
    named = _label_names(path, config_values)
    problem = config_values.get("problem_type")
    num_labels = config_values.get("num_labels", len(named) if named else None)
    if named and num_labels != len(named):
        raise UserError(
            f"{path}: num_labels is {json.dumps(num_labels)}, but id2label has {len(named)} labels; "
            "they are not of the same model."
        )
    if problem not in (None, "regression", "single_label_classification"):
        return None, f"problem_type {json.dumps(problem)}"
    if problem == "regression" and num_labels not in (None, 1):
        return None, f"regression with {num_labels} scores"
    if problem == "single_label_classification" and num_labels == 1:
        return None, "classification with a single class"
    if problem == "regression" or num_labels == 1:
        return [], None  # The library trains a single output as a score, whatever its name.
    if not named or named == numbered_labels(len(named)):
        return None, None
    return named, None


def _label_names(path: str, config_values: Mapping[str, Any]) -> list[str] | None:
    """The names of `id2label` in order, compared with `label2id`; None where there are none."""
    by_number = config_values.get("id2label")
    if not by_number:
        return None
    numbers = [str(i) for i in range(len(by_number))] if isinstance(by_number, dict) else None
    if numbers is None or set(by_number) != set(numbers):
        raise UserError(
            f"{path}: id2label must give a label to each number from 0 on, found "
            f"{json.dumps(by_number)}."
        )
    labels = [str(by_number[number]) for number in numbers]
    by_label = config_values.get("label2id")
    expected = {label: i for i, label in enumerate(labels)}
    if isinstance(by_label, dict) and by_label and len(expected) == len(labels):
        found = {str(label): str(i) for label, i in by_label.items()}
        if found != {label: str(i) for label, i in expected.items()}:
            raise UserError(
                f"{path}: id2label says {json.dumps(by_number)}, label2id {json.dumps(by_label)}; "
                "they contradict each other, so correct one of them."
            )
    return labels


def numbered_labels(num_labels: int) -> list[str]:
    """The library's labels where nobody has named them."""
    return [f"LABEL_{i}" for i in range(num_labels)]


def classifier_values(num_outputs: int, labels: Sequence[str] | None) -> dict[str, Any]:
    """The keys of `config.json` for a classifier.

    Raises:
      UserError: There are not as many labels as outputs, or there is one, which would be lost.
    """
    if labels and len(labels) != num_outputs:
        raise UserError(
            f"The classifier has {num_outputs} outputs, but {len(labels)} labels are given: "
            f"{', '.join(labels)}."
        )
    if labels and num_outputs == 1:
        raise UserError(
            f'The classifier has one output, with the label "{labels[0]}"; the Hugging Face library '
            "takes one output for a score. Convert it to another format; or, if it is a "
            'score, say so first: "labels": [] in model_info.json of the model.'
        )
    named = dict(enumerate(labels or numbered_labels(num_outputs)))
    values = {
        "id2label": {str(number): label for number, label in named.items()},
        "label2id": {label: number for number, label in named.items()},
    }
    return values if labels or num_outputs > 1 else {**values, "problem_type": "regression"}


def without_library_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in _LIBRARY_KEYS}


def read_object(path: str) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a JSON object, found {json.dumps(values):.50}.")
    return values
