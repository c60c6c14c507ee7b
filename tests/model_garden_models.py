"""Models of Model Garden, and weights in its form."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpoints.model_garden import (
    ModelGardenReader,
    write_model_garden,
)
from checkpoints.weights import variable_name
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.layers import activation

ODD = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=17,
    type_vocab_size=3,
)
NUM_LABELS = 3
Weights = dict[str, np.ndarray]


def random_weights(config: BertConfig) -> Weights:
    """An encoder with all heads; no two variables are alike, none is at its initial value."""
    rng = np.random.default_rng(0)
    variables = {
        variable_name(v): v.numpy()
        for model in (PretrainingModel(config), ClassifierModel(config, NUM_LABELS))
        for v in model.trainable_variables
    }
    squad = {"cls/squad/output_weights": np.zeros([2, config.hidden_size])}
    squad["cls/squad/output_bias"] = np.zeros(2)
    return {
        name: (value + rng.normal(scale=0.1, size=value.shape)).astype(np.float32)
        for name, value in {**variables, **squad}.items()
    }


def written(folder: pathlib.Path, weights: Mapping[str, np.ndarray], config: BertConfig) -> str:
    """Prefix of the checkpoint in a new folder."""
    write_model_garden(str(folder), weights, config, None, {})
    return str(folder / "bert_model.ckpt")


def garden_encoder(config: BertConfig, version: str = "BertEncoder") -> Any:
    """A fresh encoder of Model Garden."""
    from official.nlp.modeling import networks

    encoder = getattr(networks, version)(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        max_sequence_length=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        inner_dim=config.intermediate_size,
        inner_activation=activation(config.hidden_act),
    )
    encoder(encoder.inputs)
    return encoder


def garden_pretrainer(config: BertConfig, version: str = "BertEncoder") -> Any:
    """A fresh pre-training model of Model Garden, whose next-sentence head has its own pooler."""
    from official.nlp.modeling import layers, models

    head = layers.ClassificationHead(config.hidden_size, 2, name="next_sentence")
    pretrainer = models.BertPretrainerV2(
        garden_encoder(config, version),
        mlm_activation=activation(config.hidden_act),
        classification_heads=[head],
    )
    pretrainer(pretrainer.inputs)
    return pretrainer


def garden_classifier(
    config: BertConfig, version: str = "BertEncoder", use_encoder_pooler: bool = True
) -> Any:
    from official.nlp.modeling import models

    return models.BertClassifier(
        garden_encoder(config, version), NUM_LABELS, use_encoder_pooler=use_encoder_pooler
    )


def assert_same(reader: ModelGardenReader, weights: Mapping[str, np.ndarray]) -> None:
    assert reader.shapes == {name: value.shape for name, value in weights.items()}
    for name, value in weights.items():
        read = reader.read(name)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, value, err_msg=name)


def without(weights: Weights, *prefixes: str) -> Weights:
    return {name: value for name, value in weights.items() if not name.startswith(prefixes)}
