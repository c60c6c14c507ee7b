"""Models that are made SavedModels, by flags."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from converted_models import ONE_LAYER, classifier_weights, pretrained_weights, write_model
from scripts import run_script

from common.errors import UserError


def test_saved_model_of_a_classifier(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    weights = classifier_weights(ONE_LAYER)
    source = write_model(
        tmp_path / "student",
        weights,
        odd_vocab_file,
        ONE_LAYER,
        labels=["no", "maybe", "yes"],
        do_lower_case=True,
    )
    common: dict[str, Any] = {
        "input_path": source,
        "output_format": "saved_model",
        "max_seq_length": 17,
    }
    run_script("convert_checkpoint", **common, output_dir=tmp_path / "text")
    # The others are compared below.
    common["verify"] = False
    run_script("convert_checkpoint", **common, pairs=True, output_dir=tmp_path / "pairs")
    run_script("convert_checkpoint", **common, include_tokenizer=False, output_dir=tmp_path / "ids")
    text, pairs, ids = (
        tf.saved_model.load(str(tmp_path / name)).signatures for name in ("text", "pairs", "ids")
    )
    assert set(ids) == {"serving_default", "ids", "labels"}
    of_text = text["serving_default"](text=tf.constant(["W3 w7", "w50"]))
    assert of_text["probabilities"].shape == (2, 3)
    tokens = tf.constant([[2, 8, 12, 3], [2, 55, 3, 0]])
    inputs = {
        "input_ids": tokens,
        "input_mask": tf.cast(tokens > 0, tf.int32),
        "segment_ids": tf.zeros_like(tokens),
    }
    of_ids = ids["serving_default"](**inputs)
    np.testing.assert_allclose(of_text["logits"], of_ids["logits"], rtol=1e-5)
    of_pairs = pairs["serving_default"](text_a=tf.constant(["w3"]), text_b=tf.constant(["w7"]))
    assert not np.allclose(of_pairs["logits"][0], of_text["logits"][0])
    assert text["labels"]()["labels"].numpy().tolist() == [b"no", b"maybe", b"yes"]
    with pytest.raises(UserError, match="holds saved_model.pb, a finished program"):
        run_script("convert_checkpoint", input_path=tmp_path / "text", output_dir=tmp_path / "x")
    unknown = write_model(
        tmp_path / "unknown", weights, odd_vocab_file, ONE_LAYER, labels=["a", "b", "c"]
    )
    with pytest.raises(UserError, match="--do_lower_case is not recorded"):
        run_script(
            "convert_checkpoint",
            input_path=unknown,
            output_format="saved_model",
            output_dir=tmp_path / "x",
        )


def test_saved_model_of_an_encoder(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    weights = pretrained_weights(ONE_LAYER)
    source = write_model(tmp_path / "model", weights, odd_vocab_file, ONE_LAYER, do_lower_case=True)
    target = tmp_path / "hub"
    run_script(
        "convert_checkpoint", input_path=source, output_format="saved_model", output_dir=target
    )
    names = ("input_word_ids", "input_mask", "input_type_ids")
    outputs = tf.saved_model.load(str(target))({name: tf.ones([2, 5], tf.int32) for name in names})
    assert set(outputs) == {"pooled_output", "sequence_output", "encoder_outputs", "default"}
