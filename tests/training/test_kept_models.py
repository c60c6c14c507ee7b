"""Models and graphs that later runs of a process use again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from modeling.config import BertConfig
from modeling.heads import ClassifierModel
from training import kept_models
from training.kept_models import KeptModel, Programs, keep_model, take_model

STRATEGY = tf.distribute.OneDeviceStrategy("/device:CPU:0")
CONFIG = BertConfig(
    11, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
)


@pytest.fixture(autouse=True)
def none_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kept_models, "_kept", [])
    yield


def take(labels: int = 2, seed: int = 0, precision: str = "float32") -> KeptModel:
    return take_model(STRATEGY, ClassifierModel, (CONFIG, labels, precision), seed)


def test_a_kept_model_is_as_new() -> None:
    used = take(seed=1)
    for variable in used.model.variables:
        variable.assign(tf.ones_like(variable))
    keep_model(used)
    again = take(seed=2)
    assert again.model is used.model and again.programs is used.programs
    expected = ClassifierModel(CONFIG, 2, "float32", 2)
    for variable, value in zip(again.model.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value.numpy())


def test_it_belongs_to_one_run_at_a_time() -> None:
    keep_model(take())
    first, second = take(), take()
    assert first.model is not second.model


@pytest.mark.parametrize("other", [{"labels": 3}, {"precision": "bfloat16"}])
def test_other_architectures(other: dict[str, int | str]) -> None:
    used = take()
    keep_model(used)
    assert take(**other).model is not used.model
    assert take().model is used.model


def test_few_are_kept_and_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [take(labels) for labels in range(2, 3 + kept_models.MAX_MODELS)]
    for used in models:
        keep_model(used)
    # The oldest one is gone.
    assert take(2).model is not models[0].model and take(3).model is models[1].model
    monkeypatch.setattr(kept_models, "MAX_PARAMETERS", 10)
    keep_model(models[1])
    assert take(3).model is not models[1].model


def test_programs_are_made_once() -> None:
    programs = Programs()
    made = [programs.get(key, lambda key=key: [key]) for key in ("a", "b", "a")]
    assert made == [["a"], ["b"], ["a"]] and made[0] is made[2]


def test_the_latest_programs_are_kept() -> None:
    programs = Programs()
    first = [programs.get(key, lambda key=key: [key]) for key in range(kept_models.MAX_PROGRAMS)]
    assert programs.get(0, list) is first[0]
    programs.get("another", list)
    assert programs.get(0, list) is first[0]
    assert programs.get(1, list) == []
