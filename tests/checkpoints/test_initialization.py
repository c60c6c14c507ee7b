"""What a student takes of a deeper model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from models import ODD_CONFIG, random_weights

from checkpoints.initialization import (
    AUTO,
    KEEP,
    NEW,
    WeightSelection,
    select_head,
    select_weights,
)
from checkpoints.weights import CheckpointReader, load_weights, variable_name, write_checkpoint
from common.errors import UserError
from modeling.heads import ClassifierModel, PretrainingModel

DEEP = dataclasses.replace(ODD_CONFIG, num_hidden_layers=5)
WEIGHTS = random_weights(PretrainingModel(DEEP))
PART = "intermediate/dense/kernel"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> CheckpointReader:
    prefix = str(tmp_path_factory.mktemp("deep") / "bert_model.ckpt")
    write_checkpoint(prefix, WEIGHTS)
    return CheckpointReader(prefix)


@pytest.mark.parametrize(
    ("strategy", "layers", "expected"),
    [
        ("full", None, [0, 1, 2, 3, 4]),
        ("truncate_bottom", None, [0, 1]),
        ("truncate_every_other", None, [0, 2]),
        ("full", [4, 0, 3], [4, 0, 3]),
        ("truncate_bottom", [1, 1], [1, 1]),
    ],
)
def test_layers(
    reader: CheckpointReader, strategy: str, layers: Sequence[int] | None, expected: list[int]
) -> None:
    config = dataclasses.replace(ODD_CONFIG, num_hidden_layers=len(expected))
    student = PretrainingModel(config)
    report = load_weights(
        student.trainable_variables, select_weights(reader, config, strategy, layers)
    )
    assert report.new == () and report.left_over == ()
    values = {variable_name(v): v.numpy() for v in student.trainable_variables}
    for new, old in enumerate(expected):
        np.testing.assert_array_equal(
            values[f"bert/encoder/layer_{new}/{PART}"], WEIGHTS[f"bert/encoder/layer_{old}/{PART}"]
        )
    for name in ("bert/embeddings/word_embeddings", "cls/predictions/output_bias"):
        np.testing.assert_array_equal(values[name], WEIGHTS[name])


def test_embeddings_only(reader: CheckpointReader) -> None:
    selected = select_weights(reader, ODD_CONFIG, "embeddings_only", None)
    assert set(selected.shapes) == {
        f"bert/embeddings/{name}"
        for name in (
            "word_embeddings",
            "position_embeddings",
            "token_type_embeddings",
            "LayerNorm/beta",
            "LayerNorm/gamma",
        )
    }
    # Any depth will do.
    deeper = dataclasses.replace(ODD_CONFIG, num_hidden_layers=12)
    assert set(select_weights(reader, deeper, "embeddings_only", None).shapes) == set(
        selected.shapes
    )


@pytest.mark.parametrize(
    ("changes", "strategy", "layers", "message"),
    [
        ({"hidden_size": 64}, "embeddings_only", None, "hidden_size 32, the student 64"),
        ({"num_hidden_layers": 2}, "full", None, "5 layers, the model 2.*--init_strategy"),
        ({"num_hidden_layers": 6}, "full", None, "5 layers, the model 6"),
        ({"num_hidden_layers": 6}, "truncate_bottom", None, "too few for the student's 6"),
        ({"num_hidden_layers": 3}, "truncate_every_other", None, "every other.*student's 3"),
        ({"num_hidden_layers": 2}, "full", [0, 5], "--init_layers=0,5.*0 to 4"),
        ({"num_hidden_layers": 2}, "full", [0, -1], "--init_layers=0,-1"),
        ({"num_hidden_layers": 2}, "full", [0, 1, 2], "names 3 layers.*student's 2"),
    ],
)
def test_what_cannot_be_taken(
    reader: CheckpointReader,
    changes: dict[str, int],
    strategy: str,
    layers: Sequence[int] | None,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        select_weights(reader, dataclasses.replace(ODD_CONFIG, **changes), strategy, layers)


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, CheckpointReader]:
    """Models with classifiers of this number of outputs; 0 for none."""
    readers = {}
    for outputs in (0, 1, 2):
        prefix = str(tmp_path_factory.mktemp("classifier") / "bert_model.ckpt")
        weights = random_weights(ClassifierModel(ODD_CONFIG, outputs)) if outputs else WEIGHTS
        write_checkpoint(prefix, weights)
        readers[outputs] = CheckpointReader(prefix)
    return readers


@pytest.mark.parametrize(
    ("outputs", "recorded", "labels", "difference"),
    [
        (2, ["no", "yes"], ["no", "yes"], None),
        (
            2,
            ["no", "yes"],
            ["yes", "no"],
            "for the labels no, yes, this run for the labels yes, no",
        ),
        (2, ["no", "yes"], ["a", "b", "c"], "for the labels no, yes, this run for the labels a, b"),
        (2, ["no", "yes"], [], "is for the labels no, yes, this run for a regression"),
        (1, [], ["no", "yes"], "is for a regression .*, this run for the labels no, yes"),
        (1, [], [], None),
        # Not recorded: the number has to do.
        (2, None, ["no", "yes"], None),
        (2, None, ["a", "b", "c"], "has 2 outputs, this run needs 3"),
        (2, None, [], "has 2 outputs, this run needs 1"),
        (1, None, [], None),
        (0, None, ["no", "yes"], "there is no classifier in it"),
    ],
)
@pytest.mark.parametrize("choice", [AUTO, KEEP, NEW])
def test_classifier_for_other_labels(
    classifiers: dict[int, CheckpointReader],
    caplog: pytest.LogCaptureFixture,
    choice: str,
    outputs: int,
    recorded: list[str] | None,
    labels: list[str],
    difference: str | None,
) -> None:
    caplog.set_level("INFO")
    reader = classifiers[outputs]
    if choice == "keep" and difference:
        with pytest.raises(UserError, match=f"--init_head=keep cannot keep .*{difference}"):
            select_head(reader, choice, recorded, labels)
        return
    selected = select_head(reader, choice, recorded, labels)
    kept = choice != "new" and not difference
    head = {"output_weights", "output_bias"}
    assert set(selected.shapes) == set(reader.shapes) - (set() if kept else head)
    said = " ".join(caplog.messages)
    assert len(caplog.messages) <= 1
    assert ("A new classifier" in said) is (outputs > 0 and not kept)
    assert ("assumed to be no, yes" in said) is (kept and recorded is None and bool(labels))


def test_a_new_pooler_is_said(reader: CheckpointReader, caplog: pytest.LogCaptureFixture) -> None:
    without = WeightSelection(reader, {n: n for n in reader.shapes if "pooler" not in n})
    select_head(without, "auto", None, ["no", "yes"])
    assert "has no pooler" in caplog.text
