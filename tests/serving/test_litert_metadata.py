"""Metadata in LiteRT files: what is in it, that it runs, and for which models there is none."""

from __future__ import annotations

import io
import pathlib
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from models import random_model

from serving.litert_metadata import reason_against


def test_vocabulary_and_labels_are_in_the_file(shipped: pathlib.Path) -> None:
    content = (shipped / "model_float32.tflite").read_bytes()
    assert b"TFLITE_METADATA" in content and b"M001" in content
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        assert files.read("labels.txt") == b"negative\npositive\n"
        assert files.read("vocab.txt") == (shipped / "vocab.txt").read_bytes()
    runner = Interpreter(model_content=content).get_signature_runner("serve")
    ids = np.ones([2, 3], np.int32)
    assert runner(input_ids=ids, input_mask=ids, segment_ids=0 * ids)["probabilities"].shape == (
        2,
        2,
    )


def test_mediapipe_takes_the_file(shipped: pathlib.Path) -> None:
    text = pytest.importorskip("mediapipe.tasks.python.text")
    classifier = text.TextClassifier.create_from_model_path(
        str(shipped / "model_dynamic_int8.tflite")
    )
    (result,) = classifier.classify("good film .").classifications
    assert {category.category_name for category in result.categories} == {"negative", "positive"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"labels": ()}, "the model is a regression"),
        ({"labels": (), "has_classifier": False}, "the model is an encoder"),
        ({"pairs": True}, "the model takes pairs"),
        ({"do_lower_case": False}, "the model is cased"),
    ],
)
def test_models_that_mediapipe_gets_wrong(
    odd_vocab_file: str, changes: dict, reason: str | None
) -> None:
    found = reason_against(random_model(odd_vocab_file, **changes))
    assert found is None if reason is None else reason in (found or "")
