"""Model Garden's form of a checkpoint, against the models and the converter of Model Garden."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from model_garden_models import (
    NUM_LABELS,
    ODD,
    Weights,
    assert_same,
    garden_classifier,
    garden_encoder,
    garden_pretrainer,
    random_weights,
    without,
    written,
)

from checkpoints.model_garden import (
    ModelGardenReader,
    build_model_garden_encoder,
    write_model_garden,
)
from checkpoints.weights import variable_name, weights_digest
from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel

TINY = BertConfig(
    vocab_size=300,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=512,
)
POOLER = ("bert/pooler/dense/kernel", "bert/pooler/dense/bias")


@pytest.mark.parametrize("config", [TINY, ODD], ids=["tiny", "odd"])
def test_round_trip_is_bit_identical(
    tmp_path: pathlib.Path, config: BertConfig, vocab_file: str
) -> None:
    weights = random_weights(config)
    write_model_garden(str(tmp_path), weights, config, vocab_file, {"labels": ["a", "b", "c"]})
    assert {path.name for path in tmp_path.iterdir()} == {
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "checkpoint",
        "model_info.json",
        "vocab.txt",
    }
    prefix = str(tmp_path / "bert_model.ckpt")
    assert tf.train.latest_checkpoint(str(tmp_path)) == prefix
    reader = ModelGardenReader(prefix)
    assert reader.source == prefix
    assert reader.num_attention_heads == config.num_attention_heads
    assert_same(reader, weights)
    info = json.loads((tmp_path / "model_info.json").read_text())
    assert info == {"labels": ["a", "b", "c"], "weights_sha256": weights_digest(weights)}
    assert (tmp_path / "vocab.txt").read_bytes() == pathlib.Path(vocab_file).read_bytes()
    stored_config = json.loads((tmp_path / "bert_config.json").read_text())
    assert BertConfig.from_dict(stored_config) == config


@pytest.mark.parametrize("version", ["BertEncoder", "BertEncoderV2"])
def test_model_garden_restores_what_is_written(tmp_path: pathlib.Path, version: str) -> None:
    """Everything the models look for is there; what they then save is what was written."""
    from official.nlp.modeling import models

    config = dataclasses.replace(ODD, num_hidden_layers=2)
    weights = random_weights(config)
    prefix = written(tmp_path / "model", weights, config)
    encoder = garden_encoder(config, version)
    pretrainer = garden_pretrainer(config, version)
    classifier = garden_classifier(config, version)
    own_pooler = garden_classifier(config, version, use_encoder_pooler=False)
    labeler = models.BertSpanLabeler(garden_encoder(config, version))
    of_encoder = without(weights, "cls/", "output_")
    pretraining = without(weights, "output_", "cls/squad")
    classifying = without(weights, "cls/")
    checkpoints: list[tuple[dict[str, Any], Weights]] = [
        ({"model": garden_encoder(config, version)}, of_encoder),
        ({"encoder": garden_encoder(config, version)}, of_encoder),
        ({"model": encoder, "encoder": encoder}, of_encoder),
        ({"model": pretrainer, **pretrainer.checkpoint_items}, pretraining),
        ({"model": garden_pretrainer(config, version)}, pretraining),
        (pretrainer.checkpoint_items, without(pretraining, "cls/seq")),
        ({"model": classifier, **classifier.checkpoint_items}, classifying),
        ({"model": own_pooler}, classifying),
        ({"model": labeler}, without(weights, "output_", "cls/pred", "cls/seq")),
    ]
    for number, (objects, expected) in enumerate(checkpoints):
        checkpoint = tf.train.Checkpoint(**objects)
        checkpoint.read(prefix).expect_partial().assert_existing_objects_matched()
        saved = tf.train.Checkpoint(**objects).write(str(tmp_path / f"saved-{number}"))
        assert_same(ModelGardenReader(saved), expected)
        # Unlike `read`, this looks for a counter of checkpoints too.
        checkpoint.restore(prefix).expect_partial().assert_existing_objects_matched()
    # `sentence_prediction` with init_cls_pooler: the classifier starts from the pre-training pooler.
    fresh = garden_classifier(config, version, use_encoder_pooler=False)
    items = {
        "encoder": fresh.checkpoint_items["encoder"],
        "next_sentence.pooler_dense": fresh.checkpoint_items["sentence_prediction.pooler_dense"],
    }
    status = tf.train.Checkpoint(**items).read(prefix)
    status.expect_partial().assert_existing_objects_matched()
    np.testing.assert_array_equal(fresh.classifier.dense.kernel, weights[POOLER[0]])


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_erf"])
def test_outputs_equal_model_gardens(tmp_path: pathlib.Path, hidden_act: str) -> None:
    config = dataclasses.replace(ODD, hidden_act=hidden_act)
    weights = random_weights(config)
    prefix = written(tmp_path / "model", weights, config)
    pretrainer, classifier = garden_pretrainer(config), garden_classifier(config, "BertEncoderV2")
    for objects in (
        {"model": pretrainer, **pretrainer.checkpoint_items},
        {"model": classifier, **classifier.checkpoint_items},
    ):
        status = tf.train.Checkpoint(**objects).read(prefix)
        status.expect_partial().assert_existing_objects_matched()
    rng = np.random.default_rng(1)
    shape = (64, config.max_position_embeddings)
    mask = np.arange(shape[1]) < rng.integers(2, shape[1] + 1, [shape[0], 1])
    positions = rng.integers(0, shape[1], [shape[0], 4])
    ids = rng.integers(0, config.vocab_size, shape) * mask
    types = rng.integers(0, config.type_vocab_size, shape) * mask
    theirs = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}
    theirs = {name: tf.constant(value, tf.int32) for name, value in theirs.items()}
    theirs["masked_lm_positions"] = tf.constant(positions, tf.int32)
    batch = {"input_ids": ids, "input_mask": mask, "segment_ids": types}
    batch = {name: tf.constant(value, tf.int32) for name, value in batch.items()}
    batch["masked_lm_positions"] = theirs["masked_lm_positions"]

    ours = PretrainingModel(config), ClassifierModel(config, NUM_LABELS)
    for model in ours:
        for variable in model.trainable_variables:
            variable.assign(weights[variable_name(variable)])
    encoded = ours[0].encoder(batch["input_ids"], batch["input_mask"], batch["segment_ids"])
    masked_lm_logits, next_sentence_logits = ours[0](batch)
    expected = pretrainer(theirs)
    theirs.pop("masked_lm_positions")
    built = build_model_garden_encoder(config, weights)(theirs)
    masked_lm_shape = (*positions.shape, config.vocab_size)
    for name, found, reference in (
        ("sequence_output", encoded.sequence_output, expected["sequence_output"]),
        ("pooled_output", encoded.pooled_output, expected["pooled_output"]),
        ("mlm_logits", tf.reshape(masked_lm_logits, masked_lm_shape), expected["mlm_logits"]),
        ("next_sentence", next_sentence_logits, expected["next_sentence"]),
        ("classifier", ours[1](batch), classifier(theirs)),
        ("built sequence_output", built["sequence_output"], expected["sequence_output"]),
        ("built pooled_output", built["pooled_output"], expected["pooled_output"]),
        ("built layer", built["encoder_outputs"][1], encoded.layer_outputs[2]),
    ):
        difference = np.max(np.abs(found.numpy() - reference.numpy()))
        assert difference <= 1e-5 * np.max(np.abs(reference)), name


def test_the_two_gelus_are_two_functions() -> None:
    """Without this the test above could pass with one activation for both."""
    weights = random_weights(ODD)
    inputs = [tf.constant([[1, 2, 3]]), tf.ones([1, 3], tf.int32), tf.zeros([1, 3], tf.int32)]
    tanh, erf = (
        build_model_garden_encoder(dataclasses.replace(ODD, hidden_act=hidden_act), weights)(
            inputs
        )["sequence_output"]
        for hidden_act in ("gelu", "gelu_erf")
    )
    assert np.max(np.abs(tanh - erf)) > 1e-4


def test_a_disk_that_is_full(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(checkpoint: tf.train.Checkpoint, prefix: str) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", write)
    with pytest.raises(UserError, match="Cannot write .*model: No space left on device; make room"):
        write_model_garden(str(tmp_path / "model"), random_weights(ODD), ODD, None, {})
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path: pathlib.Path) -> None:
    weights = random_weights(ODD)
    name = "bert/encoder/layer_3/output/dense/bias"
    with pytest.raises(UserError, match=f"{name} has no place.*3 layers"):
        write_model_garden(str(tmp_path), {**weights, name: np.zeros(32)}, ODD, None, {})
    name = "bert/encoder/layer_1/output/dense/bias"
    with pytest.raises(UserError, match=f"{name} is missing"):
        write_model_garden(str(tmp_path), without(weights, name), ODD, None, {})
    assert not list(tmp_path.iterdir())
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_model_garden(str(tmp_path), weights, ODD, None, {})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
