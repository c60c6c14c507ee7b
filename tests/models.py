"""Models that no test trains: odd sizes, random weights."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import tf_keras

from checkpoints.model_folder import tokenizer_info, write_model_folder
from checkpoints.weights import variable_values
from modeling.config import BertConfig
from modeling.heads import CLASSIFIER_WEIGHTS, ClassifierModel
from modeling.tokenization import FullTokenizer
from modeling.wordpiece import SPECIAL_TOKENS
from serving.trained_model import TrainedModel

# No two sizes agree, and the heads are not 64 wide, so that a transposed matrix cannot hide.
ODD_CONFIG = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=17,
)


def random_weights(*models: tf_keras.Model) -> dict[str, np.ndarray]:
    """Random values for all variables of the models, by the original's names.

    Their deviation is ten times the usual one, so that no activation is nearly linear, and yet small
    enough for softmax not to blow rounding up.
    """
    rng = np.random.default_rng(0)
    shapes = {
        name: value.shape
        for model in models
        for name, value in variable_values(model.trainable_variables).items()
    }
    return {
        name: rng.normal(scale=0.2, size=shape).astype(np.float32) for name, shape in shapes.items()
    }


def write_vocabulary(path: pathlib.Path, words: list[str]) -> str:
    """A vocabulary of `ODD_CONFIG`'s size: special tokens, the words, and unused places."""
    tokens = [*SPECIAL_TOKENS, *words]
    tokens += [f"[unused{i}]" for i in range(ODD_CONFIG.vocab_size - len(tokens))]
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return str(path)


def write_student(path: pathlib.Path, model: TrainedModel) -> str:
    """A model folder of a model."""
    info = {**tokenizer_info(model.tokenizer), "max_seq_length": model.max_seq_length}
    if model.has_classifier:
        info["labels"] = list(model.labels)
    vocab_file = model.tokenizer.vocab_file
    write_model_folder(str(path), model.weights, model.config, vocab_file, info)
    return str(path)


def random_model(
    vocab_file: str,
    labels: tuple[str, ...] = ("bad", "so so", "gut für mich"),
    hidden_act: str = "gelu",
    has_classifier: bool = True,
    pairs: bool = False,
    do_lower_case: bool = True,
    config: BertConfig = ODD_CONFIG,
) -> TrainedModel:
    """A model of two layers whose outputs depend on its input a lot; a regression without labels."""
    config = dataclasses.replace(config, num_hidden_layers=2, hidden_act=hidden_act)
    weights = {
        name: value + 1 if name.endswith("gamma") else value
        for name, value in random_weights(ClassifierModel(config, max(1, len(labels)))).items()
        if has_classifier or not name.startswith("output_")
    }
    assert (CLASSIFIER_WEIGHTS in weights) == has_classifier
    tokenizer = FullTokenizer(vocab_file, do_lower_case)
    length = config.max_position_embeddings
    return TrainedModel("student", config, weights, tokenizer, labels, length, pairs)


def write_classifier(
    folder: str, config: BertConfig, vocab_file: str, num_outputs: int, **info: object
) -> ClassifierModel:
    """Writes the model folder of a classifier whose random weights tell texts apart."""
    model = ClassifierModel(config, num_outputs, seed=3)
    model.classifier.output_weights.assign(model.classifier.output_weights * 20)
    values = variable_values(model.trainable_variables)
    write_model_folder(folder, values, config, vocab_file, info)
    return model
