"""BERT models of the Hugging Face library: their folder read into original names and layouts.

A folder holds `config.json`, `model.safetensors` and `vocab.txt`. Kernels are stored transposed
there, layer norm vectors are called weight and bias, and "gelu" means the exact (erf) form.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import exists, read_json
from modeling.config import BertConfig

# Hugging Face `hidden_act` -> the word for the same function in our `bert_config.json`.
_ACTIVATIONS = {
    "gelu": "gelu_erf",
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "relu": "relu",
    "tanh": "tanh",
}

# Full names in Hugging Face -> original names, where they are not made by the rules below.
_SPECIAL_NAMES = {
    "cls.predictions.bias": "cls/predictions/output_bias",
    "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
    "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    "classifier.weight": "output_weights",
    "classifier.bias": "output_bias",
}
# Copies and constants that are no weights of their own.
_REDUNDANT = (
    "embeddings.position_ids",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
)


def is_huggingface_folder(path: str) -> bool:
    return exists(os.path.join(path, "config.json")) and exists(
        os.path.join(path, "model.safetensors")
    )


def read_huggingface(path: str) -> tuple[BertConfig, dict[str, np.ndarray], list[str] | None]:
    """Reads a BERT folder of the Hugging Face library.

    Args:
      path: The folder.

    Returns:
      The configuration, the weights under original names and in original layouts, and the
      classifier's labels in the order of its outputs if there is a classifier.

    Raises:
      UserError: Not a BERT model, or a tensor without a place in one.
    """
    from safetensors.numpy import load_file

    config_path = os.path.join(path, "config.json")
    values = read_json(config_path)
    if values.get("model_type") != "bert":
        raise UserError(
            f'{config_path}: model_type is "{values.get("model_type")}", expected "bert".'
        )
    config = _config(config_path, values)
    weights_path = os.path.join(path, "model.safetensors")
    try:
        tensors = load_file(weights_path)
    except Exception as error:  # safetensors raises an exception type of its own for each damage.
        raise UserError(f"{weights_path}: not a readable safetensors file ({error}).") from error
    weights = {}
    for name, value in tensors.items():
        if name.endswith(_REDUNDANT):
            continue
        original, transposed = _original_name(weights_path, name)
        array = np.asarray(value, np.float32)
        weights[original] = np.ascontiguousarray(array.T) if transposed else array
    labels = None
    if "output_weights" in weights:
        by_id = values.get("id2label") or {}
        labels = [by_id.get(str(i), f"LABEL_{i}") for i in range(len(weights["output_weights"]))]
    return config, weights, labels


def _config(source: str, values: Mapping[str, Any]) -> BertConfig:
    names = set(BertConfig.__dataclass_fields__) - {"extra"}
    known = {name: values[name] for name in names if name in values}
    activation = known.get("hidden_act")
    if activation not in _ACTIVATIONS:
        raise UserError(
            f'{source}: hidden_act "{activation}" is not one of {", ".join(_ACTIVATIONS)}.'
        )
    return BertConfig.from_dict({**known, "hidden_act": _ACTIVATIONS[activation]}, source)


def _original_name(source: str, name: str) -> tuple[str, bool]:
    """The original name of a tensor, and whether its matrix is stored transposed."""
    if name in _SPECIAL_NAMES:
        return _SPECIAL_NAMES[name], False
    # BertModel alone stores its names without "bert."; models with heads store them with it.
    inner = name if name.startswith("cls.") else "bert." + name.removeprefix("bert.")
    inner = re.sub(r"encoder\.layer\.(\d+)\.", r"encoder.layer_\1.", inner)
    rules = (
        (r"^(bert\.embeddings\.\w+_embeddings)\.weight$", r"\1", False),
        (r"^(.*LayerNorm)\.(?:weight|gamma)$", r"\1.gamma", False),
        (r"^(.*LayerNorm)\.(?:bias|beta)$", r"\1.beta", False),
        (r"^(.*\.(?:dense|query|key|value))\.weight$", r"\1.kernel", True),
        (r"^(.*\.(?:dense|query|key|value))\.bias$", r"\1.bias", False),
    )
    for pattern, replacement, transposed in rules:
        original, count = re.subn(pattern, replacement, inner)
        if count:
            return original.replace(".", "/"), transposed
    raise UserError(f"{source}: tensor {name} has no place in a BERT model.")
