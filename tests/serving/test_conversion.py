"""Conversion of a model as a call from Python."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from converted_models import classifier_weights, pretrained_weights, write_model
from models import ODD_CONFIG

from checkpoints.formats import find_weights, open_weights
from checkpoints.model_folder import read_model_folder
from common.errors import UserError
from common.outputs import release_locks
from serving.conversion import ConversionOptions, convert


def test_labels_are_put_in_order(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    weights = classifier_weights(ODD_CONFIG)
    labels = ["entailment", "neutral", "contradiction"]
    source = write_model(tmp_path / "a", weights, odd_vocab_file, labels=labels)
    target = tmp_path / "b"
    options = ConversionOptions(
        input_path=source,
        output_dir=str(target),
        output_format="hf",
        labels=["contradiction", "entailment", "neutral"],
    )
    convert(options)
    release_locks()
    assert json.loads((target / "config.json").read_text())["id2label"] == {
        "0": "contradiction",
        "1": "entailment",
        "2": "neutral",
    }
    moved = open_weights(find_weights(str(target))).read("output_weights")
    np.testing.assert_array_equal(moved, weights["output_weights"][[2, 0, 1]])


def test_a_label_twice(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    source = write_model(tmp_path / "a", classifier_weights(ODD_CONFIG), odd_vocab_file)
    options = ConversionOptions(
        input_path=source,
        output_dir=str(tmp_path / "b"),
        labels=["x", "x", "y"],
        verify=False,
    )
    with pytest.raises(
        UserError, match='--labels=x,x,y: the label "x" is that of the outputs 0, 1'
    ):
        convert(options)
    release_locks()
    assert not (tmp_path / "b").exists()


def test_what_a_model_has_not(tmp_path: pathlib.Path, odd_vocab_file: str) -> None:
    source = write_model(tmp_path / "a", pretrained_weights(ODD_CONFIG), odd_vocab_file)
    options = ConversionOptions(
        input_path=source, output_dir=str(tmp_path / "b"), pairs=True, verify=False
    )
    with pytest.raises(UserError, match="--pairs has no effect: .* holds no classifier"):
        convert(options)
    release_locks()
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("output_format", ["tf1", "hf"])
def test_whether_texts_are_pairs_stays_known(
    tmp_path: pathlib.Path, odd_vocab_file: str, output_format: str
) -> None:
    weights = classifier_weights(ODD_CONFIG)
    source = write_model(
        tmp_path / "a", weights, odd_vocab_file, labels=["a", "b", "c"], pairs=True
    )
    target = tmp_path / "b"
    options = ConversionOptions(
        input_path=source, output_dir=str(target), output_format=output_format, verify=False
    )
    convert(options)
    release_locks()
    folder = read_model_folder(find_weights(str(target)))
    assert folder and folder.pairs is True
