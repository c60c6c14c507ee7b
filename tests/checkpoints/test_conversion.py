"""What a conversion checks before it writes anything."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import numpy as np
import pytest
from models import ODD_CONFIG, random_weights

from checkpoints import conversion
from checkpoints.conversion import (
    check_shapes,
    expected_shapes,
    label_order,
    read_training_state,
    read_weights,
    reorder_outputs,
)
from checkpoints.formats import StoredWeights
from checkpoints.weights import write_checkpoint
from common.errors import UserError
from modeling.config import BertConfig
from modeling.heads import ClassifierModel, PretrainingModel

# Two models are built for them, which takes a second.
shapes_of = functools.cache(lambda num_labels: expected_shapes(ODD_CONFIG, num_labels))
SHAPES = shapes_of(3)
QUERY = "bert/encoder/layer_1/attention/self/query/kernel"
UP = "bert/encoder/layer_2/intermediate/dense/kernel"


@pytest.fixture(autouse=True)
def shapes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def remembered(config: BertConfig, num_labels: int) -> dict[str, tuple[int, ...]]:
        assert config is ODD_CONFIG
        return shapes_of(num_labels)

    monkeypatch.setattr(conversion, "expected_shapes", remembered)


def changed(shapes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    merged = {**shapes, **changes}
    return {name: shape for name, shape in merged.items() if shape is not None}


def test_expected_shapes_are_those_of_the_facts() -> None:
    # 5 + 16 L + 2 + 7 variables of the pre-trained model, and the classifier's and SQuAD's two.
    assert len(SHAPES) == 5 + 16 * 3 + 2 + 7 + 2 + 2
    assert SHAPES["bert/embeddings/word_embeddings"] == (99, 32)
    assert SHAPES[UP] == (32, 37)
    assert SHAPES["output_weights"] == (3, 32)
    assert check_shapes(SHAPES, ODD_CONFIG, "here") == []


@pytest.mark.parametrize(
    "part", ["bert/pooler/", "cls/predictions/", "cls/seq_relationship/", "output_", "cls/squad/"]
)
def test_parts_may_be_absent_as_a_whole_only(part: str) -> None:
    whole = {name: shape for name, shape in SHAPES.items() if not name.startswith(part)}
    assert len(whole) < len(SHAPES)
    assert check_shapes(whole, ODD_CONFIG, "here") == []
    kept = next(name for name in SHAPES if name.startswith(part))
    with pytest.raises(UserError, match=f"here: variable {part}.* is missing"):
        check_shapes({**whole, kept: SHAPES[kept]}, ODD_CONFIG, "here")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({QUERY: None}, rf"variable {QUERY} with shape \[32, 32\] is missing"),
        ({UP: (37, 32)}, rf"{UP} has shape \[37, 32\].*\[32, 37\]; it is stored transposed"),
        ({UP: (32, 36)}, rf"{UP} has shape \[32, 36\].*\[32, 37\]\.$"),
        (
            {"bert/encoder/layer_3/output/dense/bias": (32,)},
            "layer_3/... exist.*num_hidden_layers 3",
        ),
        ({"bert/embeddings/word_embeddings": (98, 32)}, r"\[98, 32\].*\[99, 32\]"),
    ],
)
def test_config_and_weights_disagree(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_shapes(changed(SHAPES, **changes), ODD_CONFIG, "here")


def test_another_kind_of_model_is_named() -> None:
    with pytest.raises(UserError, match="word_embeddings.*missing.*no BERT model has: gpt/wte"):
        check_shapes({"gpt/wte": (2, 2)}, ODD_CONFIG, "here")


def test_what_is_no_part_of_a_model_is_left_out(tmp_path: pathlib.Path) -> None:
    weights = random_weights(PretrainingModel(ODD_CONFIG))
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, {**weights, "loss_scale": np.ones([1], np.float32)})
    read = read_weights(StoredWeights("tf1", prefix), ODD_CONFIG)
    assert set(read) == set(weights)
    np.testing.assert_array_equal(read[UP], weights[UP])


def test_optimizer_state_must_be_there(tmp_path: pathlib.Path) -> None:
    prefix = str(tmp_path / "bert_model.ckpt")
    write_checkpoint(prefix, random_weights(ClassifierModel(ODD_CONFIG, 2)))
    with pytest.raises(UserError, match="holds no optimizer state"):
        read_training_state(StoredWeights("tf1", prefix))


def test_labels_in_another_order() -> None:
    weights = random_weights(ClassifierModel(ODD_CONFIG, 3))
    recorded = ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"]
    order = label_order(weights, recorded, ["contradiction", "entailment", "neutral"])
    assert order == [2, 0, 1]
    moments = {"output_bias/adam_m": np.array([0.0, 1.0, 2.0])}
    moved = reorder_outputs({**weights, **moments}, order)
    np.testing.assert_array_equal(moved["output_weights"][0], weights["output_weights"][2])
    np.testing.assert_array_equal(moved["output_bias"][1:], weights["output_bias"][:2])
    np.testing.assert_array_equal(moved["output_bias/adam_m"], [2.0, 0.0, 1.0])
    assert moved[UP] is weights[UP]
    assert label_order(weights, None, ["a", "b", "c"]) == [0, 1, 2]
    # Case tells labels apart where the model has both.
    assert label_order(weights, ["A", "a", "b"], ["a", "A", "B"]) == [1, 0, 2]
    with pytest.raises(UserError, match="labels are ENTAILMENT"):
        label_order(weights, recorded, ["contradiction", "entailment", "other"])
    for given, wanted in ((recorded, "NEUTRAL neutral entailment"), (["A", "a", "x"], "b a x")):
        with pytest.raises(UserError, match=f"labels are {given[0]}"):
            label_order(weights, given, wanted.split())
    for known in (recorded, None):
        with pytest.raises(UserError, match='--labels=x,y,x: .*"x" is that of the outputs 0, 2;'):
            label_order(weights, known, ["x", "y", "x"])
    with pytest.raises(UserError, match="2 labels, the classifier has 3 outputs"):
        label_order(weights, recorded, ["yes", "no"])
    pretrained = random_weights(PretrainingModel(ODD_CONFIG))
    with pytest.raises(UserError, match="there is no classifier"):
        label_order(pretrained, None, ["yes", "no"])
    with pytest.raises(UserError, match="--labels=yes,no: the model is a regression"):
        label_order(random_weights(ClassifierModel(ODD_CONFIG, 1)), [], ["yes", "no"])
