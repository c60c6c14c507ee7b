"""Checkpoints that Model Garden's own code writes, whatever their objects are called."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from model_garden_models import (
    ODD,
    assert_same,
    garden_encoder,
    garden_pretrainer,
    random_weights,
    without,
    written,
)

from checkpoints.model_garden import (
    ModelGardenReader,
    build_model_garden_encoder,
    is_model_garden_checkpoint,
)
from checkpoints.weights import write_checkpoint
from common.errors import UserError


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
        return {str(i): layer for i, layer in enumerate(layers) if i != 1}

    with pytest.raises(UserError, match=r"bert/encoder/layer_1/\S+ is missing.*3 layers"):
        ModelGardenReader(stored_encoder(tmp_path, _transformer_layers=one_missing))

    def wrong_rank(pooler: Any) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(kernel=tf.Variable(tf.zeros([2, 4, 4])), bias=pooler.bias)

    with pytest.raises(UserError, match=r"pooler/dense/kernel .* \[2, 4, 4\], expected 2 dim"):
        ModelGardenReader(stored_encoder(tmp_path, _pooler_layer=wrong_rank))

    other = garden_encoder(dataclasses.replace(ODD, num_attention_heads=8))

    def other_heads(layers: list[Any]) -> list[Any]:
        return [*layers[:2], other.transformer_layers[2]]

    with pytest.raises(UserError, match=r"layer_2/\S+ .* for 8 attention heads; .* has 4"):
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
