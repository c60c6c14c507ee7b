"""Model Garden's form of a checkpoint, against the models and the converter of Model Garden."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from checkpoints.model_garden import (
    ModelGardenReader,
    build_model_garden_encoder,
    is_model_garden_checkpoint,
    write_model_garden,
)
from checkpoints.weights import variable_name, weights_digest, write_checkpoint
from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel
from modeling.layers import activation

ODD = BertConfig(
    vocab_size=99,
    hidden_size=32,
    num_hidden_layers=5,
    num_attention_heads=4,
    intermediate_size=37,
    max_position_embeddings=17,
    type_vocab_size=3,
)
TINY = BertConfig(
    vocab_size=300,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=512,
)
NUM_LABELS = 3
POOLER = ("bert/pooler/dense/kernel", "bert/pooler/dense/bias")
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
        ("built layer", built["encoder_outputs"][2], encoded.layer_outputs[3]),
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


@pytest.mark.parametrize("converted_model", ["encoder", "pretrainer"])
def test_reads_what_the_official_converter_writes(
    tmp_path: pathlib.Path, converted_model: str
) -> None:
    """tf2_bert_encoder_checkpoint_converter.py, whose flags would clash with those of our scripts."""
    from official.nlp.modeling import models
    from official.nlp.tools import tf1_bert_checkpoint_converter_lib as library

    weights = random_weights(ODD)
    write_checkpoint(str(tmp_path / "original"), weights)
    library.convert(
        str(tmp_path / "original"),
        str(tmp_path / "renamed"),
        ODD.num_attention_heads,
        library.BERT_V2_NAME_REPLACEMENTS,
        library.BERT_V2_PERMUTATIONS,
        ["adam"],
    )
    model, expected = garden_encoder(ODD), without(weights, "cls/", "output_")
    if converted_model == "pretrainer":
        model = models.BertPretrainerV2(model)
        model(model.inputs)
        expected = without(weights, "cls/s", "output_")
    library.create_v2_checkpoint(
        model, str(tmp_path / "renamed"), str(tmp_path / "converted"), "encoder"
    )
    assert_same(ModelGardenReader(str(tmp_path / "converted-1")), expected)


def encoder_alone(encoder: Any) -> dict[str, Any]:
    return {"bert": encoder}


def functional_without_attributes(encoder: Any) -> dict[str, Any]:
    """As encoders of older releases, which did not track their layers as attributes."""
    return {"model": tf_keras.Model(encoder.inputs, encoder.outputs)}


@pytest.mark.parametrize("objects", [encoder_alone, functional_without_attributes])
def test_reads_encoders_under_other_paths(
    tmp_path: pathlib.Path, objects: Callable[[Any], dict[str, Any]]
) -> None:
    weights = without(random_weights(ODD), "cls/", "output_")
    encoder = build_model_garden_encoder(ODD, weights)
    prefix = tf.train.Checkpoint(**objects(encoder)).write(str(tmp_path / "ckpt"))
    assert_same(ModelGardenReader(prefix), weights)
    encoder.save_weights(str(tmp_path / "weights"))
    assert_same(ModelGardenReader(str(tmp_path / "weights")), weights)


def test_factorized_embeddings_do_not_shift_the_layers(tmp_path: pathlib.Path) -> None:
    """No original BERT has them, and their shape will say so; each layer must still be itself."""
    from official.nlp.modeling import networks

    encoder = networks.BertEncoder(99, 32, num_layers=2, num_attention_heads=4, embedding_width=8)
    reader = ModelGardenReader(tf.train.Checkpoint(model=encoder).write(str(tmp_path / "c")))
    assert reader.shapes["bert/embeddings/word_embeddings"] == (99, 8)
    assert reader.shapes["model/layer_with_weights-4/kernel"] == (8, 32)
    assert len(reader.shapes) == 5 + 16 * 2 + 2 + len(["kernel", "bias"])
    for index in range(2):
        kernel = encoder.transformer_layers[index].weights[12]
        np.testing.assert_array_equal(
            reader.read(f"bert/encoder/layer_{index}/output/dense/kernel"), kernel
        )


def test_reads_a_training_run_and_leaves_its_optimizer_out(tmp_path: pathlib.Path) -> None:
    """The pooler is the one that was trained, that of the next-sentence head."""
    from official.nlp.optimization import AdamWeightDecay

    weights = without(random_weights(ODD), "output_", "cls/squad")
    pretrainer = garden_pretrainer(ODD)
    items = {"model": pretrainer, **pretrainer.checkpoint_items}
    tf.train.Checkpoint(**items).read(
        written(tmp_path / "model", weights, ODD)
    ).assert_existing_objects_matched()
    for variable in pretrainer.encoder_network.pooler_layer.weights:
        variable.assign(tf.zeros_like(variable))
    other = tf.Variable([[1.0, 2.0]])
    for name, optimizer in {
        "adam": AdamWeightDecay(0.0),  # with slots
        "optimizer": tf_keras.optimizers.AdamW(0.0, weight_decay=0.0),  # with variables of its own
    }.items():
        variables = pretrainer.trainable_variables
        optimizer.apply_gradients([(tf.ones_like(v), v) for v in variables])
        step = tf.Variable(1, dtype=tf.int64)
        objects = {"global_step": step, "other": other, name: optimizer, **items}
        prefix = tf.train.Checkpoint(**objects).save(str(tmp_path / "run" / name))
        keys = [key for key, _ in tf.train.list_variables(prefix)]
        assert sum(f"{name}/" in key for key in keys) > 2 * len(weights)
        # What belongs to no BERT model stands under its path.
        assert_same(ModelGardenReader(prefix), {**weights, "other": other.numpy()})


def test_models_without_heads_or_pooler(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        alone = without(random_weights(ODD), "cls/", "output_")
        assert_same(ModelGardenReader(written(tmp_path / "alone", alone, ODD)), alone)
        assert "pooler" not in caplog.text
        masked_lm = without(random_weights(ODD), "bert/pooler", "cls/s", "output_")
        prefix = written(tmp_path / "masked_lm", masked_lm, ODD)
        assert "This model has no pooler" in caplog.text
    assert_same(ModelGardenReader(prefix), masked_lm)
    status = tf.train.Checkpoint(model=garden_encoder(ODD)).read(prefix).expect_partial()
    with pytest.raises(AssertionError, match="Found 2 Python objects"):
        status.assert_existing_objects_matched()
    inputs = [tf.constant([[1, 2, 3]]), tf.ones([1, 3], tf.int32), tf.zeros([1, 3], tf.int32)]
    assert not np.any(build_model_garden_encoder(ODD, masked_lm)(inputs)["pooled_output"])


def test_what_cannot_be_written(tmp_path: pathlib.Path) -> None:
    weights = random_weights(ODD)
    name = "bert/encoder/layer_5/output/dense/bias"
    with pytest.raises(UserError, match=f"{name} has no place.*5 layers"):
        write_model_garden(str(tmp_path), {**weights, name: np.zeros(32)}, ODD, None, {})
    name = "bert/encoder/layer_3/output/dense/bias"
    with pytest.raises(UserError, match=f"{name} is missing"):
        write_model_garden(str(tmp_path), without(weights, name), ODD, None, {})
    assert not list(tmp_path.iterdir())
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_model_garden(str(tmp_path), weights, ODD, None, {})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def stored_encoder(folder: pathlib.Path, **replaced: Any) -> str:
    """A checkpoint of an encoder, some of whose attributes are others."""
    encoder = garden_encoder(ODD, "BertEncoderV2")
    names = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer")
    names += ("_embedding_norm_layer", "_transformer_layers", "_pooler_layer")
    attributes = {name: getattr(encoder, name) for name in names}
    attributes.update({name: change(attributes[name]) for name, change in replaced.items()})
    return tf.train.Checkpoint(encoder=tf.train.Checkpoint(**attributes)).write(str(folder / "c"))


def test_checkpoints_with_other_content(tmp_path: pathlib.Path) -> None:
    ModelGardenReader(stored_encoder(tmp_path))

    def one_missing(layers: list[Any]) -> dict[str, Any]:
        return {str(i): layer for i, layer in enumerate(layers) if i != 2}

    with pytest.raises(UserError, match=r"bert/encoder/layer_2/\S+ is missing.*5 layers"):
        ModelGardenReader(stored_encoder(tmp_path, _transformer_layers=one_missing))

    def wrong_rank(pooler: Any) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(kernel=tf.Variable(tf.zeros([2, 4, 4])), bias=pooler.bias)

    with pytest.raises(UserError, match=r"pooler/dense/kernel .* \[2, 4, 4\], expected 2 dim"):
        ModelGardenReader(stored_encoder(tmp_path, _pooler_layer=wrong_rank))

    other = garden_encoder(dataclasses.replace(ODD, num_attention_heads=8))

    def other_heads(layers: list[Any]) -> list[Any]:
        return [*layers[:4], other.transformer_layers[4]]

    with pytest.raises(UserError, match=r"layer_4/\S+ .* for 8 attention heads; .* has 4"):
        ModelGardenReader(stored_encoder(tmp_path, _transformer_layers=other_heads))
    prefix = tf.train.Checkpoint(teacher=garden_encoder(ODD), student=other).write(
        str(tmp_path / "two")
    )
    with pytest.raises(UserError, match="expected one BERT encoder.*found 2, student/.*, teacher/"):
        ModelGardenReader(prefix)
    prefix = tf.train.Checkpoint(other=tf.Variable([1.0])).write(str(tmp_path / "none"))
    with pytest.raises(UserError, match="expected one BERT encoder.*found 0"):
        ModelGardenReader(prefix)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "not a checkpoint"])
def test_damaged_files(tmp_path: pathlib.Path, part: str, damage: str) -> None:
    weights = random_weights(ODD)
    prefix = written(tmp_path / "model", weights, ODD)
    path = pathlib.Path(f"{prefix}.{part}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    content = {"flipped": data, "truncated": data[: len(data) // 2], "not a checkpoint": b"hello"}
    path.write_bytes(content[damage])
    with pytest.raises(UserError, match="bert_model.ckpt"):
        reader = ModelGardenReader(prefix)
        for name in weights:
            reader.read(name)


def test_recognition(tmp_path: pathlib.Path) -> None:
    keys = dict(tf.train.list_variables(stored_encoder(tmp_path)))
    assert is_model_garden_checkpoint(keys)
    assert not is_model_garden_checkpoint(random_weights(ODD))
    weights = {"bert/encoder/layer_0/attention/self/query/kernel": tf.Variable([1.0])}
    run = tf.train.Checkpoint(weights=weights, slots=weights).write(str(tmp_path / "run"))
    assert not is_model_garden_checkpoint(dict(tf.train.list_variables(run)))
