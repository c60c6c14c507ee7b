"""Folders as the Hugging Face library writes them, and weights to write there."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from checkpoints.weights import variable_values
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel

# Every matrix but those of width x width is not square.
ODD = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=37,
    hidden_dropout_prob=0.25,
    attention_probs_dropout_prob=0.0,
    max_position_embeddings=21,
    type_vocab_size=3,
    initializer_range=0.03,
    extra={"directionality": "bidi", "pooler_fc_size": 768, "note": [1, {"a": None}]},
)
ONE_LAYER = dataclasses.replace(ODD, num_hidden_layers=1)
# By hand from bert-base-uncased, for one layer.
ENCODER_SHAPES = {
    "embeddings.word_embeddings.weight": (99, 32),
    "embeddings.position_embeddings.weight": (21, 32),
    "embeddings.token_type_embeddings.weight": (3, 32),
    "embeddings.LayerNorm.weight": (32,),
    "embeddings.LayerNorm.bias": (32,),
    "encoder.layer.0.attention.self.query.weight": (32, 32),
    "encoder.layer.0.attention.self.query.bias": (32,),
    "encoder.layer.0.attention.self.key.weight": (32, 32),
    "encoder.layer.0.attention.self.key.bias": (32,),
    "encoder.layer.0.attention.self.value.weight": (32, 32),
    "encoder.layer.0.attention.self.value.bias": (32,),
    "encoder.layer.0.attention.output.dense.weight": (32, 32),
    "encoder.layer.0.attention.output.dense.bias": (32,),
    "encoder.layer.0.attention.output.LayerNorm.weight": (32,),
    "encoder.layer.0.attention.output.LayerNorm.bias": (32,),
    "encoder.layer.0.intermediate.dense.weight": (37, 32),
    "encoder.layer.0.intermediate.dense.bias": (37,),
    "encoder.layer.0.output.dense.weight": (32, 37),
    "encoder.layer.0.output.dense.bias": (32,),
    "encoder.layer.0.output.LayerNorm.weight": (32,),
    "encoder.layer.0.output.LayerNorm.bias": (32,),
    "pooler.dense.weight": (32, 32),
    "pooler.dense.bias": (32,),
}
HEAD_SHAPES = {
    "cls.predictions.bias": (99,),
    "cls.predictions.transform.dense.weight": (32, 32),
    "cls.predictions.transform.dense.bias": (32,),
    "cls.predictions.transform.LayerNorm.weight": (32,),
    "cls.predictions.transform.LayerNorm.bias": (32,),
    "cls.seq_relationship.weight": (2, 32),
    "cls.seq_relationship.bias": (2,),
    "classifier.weight": (4, 32),
    "classifier.bias": (4,),
    "qa_outputs.weight": (2, 32),
    "qa_outputs.bias": (2,),
}
HEADS = {
    "masked_lm": "cls/predictions/",
    "next_sentence": "cls/seq_relationship/",
    "squad": "cls/squad/",
    "classifier": "output_",
    "pooler": "bert/pooler/",
}


def random_weights(config: BertConfig, *heads: str, num_labels: int = 4) -> dict[str, np.ndarray]:
    """An encoder with heads, by the names of our models."""
    values = {
        **variable_values(PretrainingModel(config).trainable_variables),
        **variable_values(ClassifierModel(config, num_labels).trainable_variables),
        "cls/squad/output_weights": np.zeros((2, config.hidden_size)),
        "cls/squad/output_bias": np.zeros(2),
    }
    unwanted = tuple(prefix for head, prefix in HEADS.items() if head not in heads)
    rng = np.random.default_rng(1)
    return {
        name: rng.normal(size=value.shape).astype(np.float32)
        for name, value in values.items()
        if not name.startswith(unwanted)
    }


def library_tensors(prefix: str = "bert.") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    shapes = {**{prefix + name: shape for name, shape in ENCODER_SHAPES.items()}, **HEAD_SHAPES}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_folder(
    folder: pathlib.Path, tensors: Mapping[str, np.ndarray] | None = None, **changes: Any
) -> str:
    """A folder as the library writes it; None takes a key out of its configuration."""
    values = {
        "_name_or_path": "somewhere",
        "architectures": ["BertForSequenceClassification"],
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 37,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 21,
        "model_type": "bert",
        "num_attention_heads": 4,
        "num_hidden_layers": 1,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        "transformers_version": "4.57.6",
        "type_vocab_size": 3,
        "use_cache": True,
        "vocab_size": 99,
        **changes,
    }
    folder.mkdir(exist_ok=True)
    values = {key: value for key, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(values))
    save_file(dict(library_tensors() if tensors is None else tensors), folder / "model.safetensors")
    return str(folder)


def config_values(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())
