"""Starting from, and learning from, a deeper model."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from runs import metrics, weights
from scripts import run_script

from common.errors import UserError


@pytest.fixture(scope="module")
def two_layers(write_config: Callable[..., str]) -> dict[str, str]:
    """Flag of a model that is to take two of the four layers."""
    return {"bert_config_file": write_config()}


@pytest.mark.parametrize(
    ("flags", "layers"),
    [
        ({"init_strategy": "truncate_bottom"}, [0, 1]),
        ({"init_strategy": "truncate_every_other"}, [0, 2]),
        ({"init_layers": "3,1"}, [3, 1]),
        ({"init_strategy": "embeddings_only"}, []),
        ({"init_strategy": "random"}, None),
    ],
)
def test_start_from_a_part_of_a_deeper_model(
    options: dict[str, Any],
    two_layers: dict[str, str],
    deep: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, Any],
    layers: list[int] | None,
) -> None:
    # Without updates the weights of the model folder are those of the start.
    monkeypatch.setattr("training.run.train", lambda *_: None)
    run_script(
        "run_pretraining",
        **{**options, **two_layers, "num_train_steps": 3},
        init_checkpoint=deep,
        **flags,
        output_dir=tmp_path,
    )
    before, after = weights(deep), weights(tmp_path)
    name = "bert/encoder/layer_{}/attention/output/dense/kernel"
    for new, old in enumerate(layers or ()):
        np.testing.assert_array_equal(after[name.format(new)], before[name.format(old)])
    if not layers:
        assert not np.array_equal(after[name.format(0)], before[name.format(0)])
    embeddings = "bert/embeddings/word_embeddings"
    assert np.array_equal(after[embeddings], before[embeddings]) == (layers is not None)


def test_a_deeper_model_needs_a_strategy(
    options: dict[str, Any],
    two_layers: dict[str, str],
    deep: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    options = {**options, **two_layers}
    with pytest.raises(UserError, match="4 layers, the model 2; .*--init_strategy"):
        run_script("run_pretraining", **options, init_checkpoint=deep, output_dir=tmp_path / "a")
    with pytest.raises(UserError, match="--init_layers=0,two: expected numbers"):
        run_script(
            "run_pretraining",
            **options,
            init_checkpoint=deep,
            init_layers="0,two",
            output_dir=tmp_path / "b",
        )
    with pytest.raises(UserError, match="--init_strategy=random has no effect without --init"):
        run_script("run_pretraining", **options, init_strategy="random", output_dir=tmp_path / "c")


def test_a_teacher_makes_the_loss_that_of_distilbert(
    options: dict[str, Any],
    two_layers: dict[str, str],
    deep: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    run_script(
        "run_pretraining",
        **{**options, **two_layers},
        num_train_steps=60,
        teacher=deep,
        init_checkpoint=deep,
        init_strategy="truncate_every_other",
        output_dir=tmp_path,
        do_eval=True,
        max_eval_steps=3,
    )
    train = metrics(tmp_path, "train")
    for name in ("soft_masked_lm_loss", "masked_lm_loss", "cosine_loss"):
        assert train[-1][name] < train[0][name], name
    for line in train:
        parts = 5 * line["soft_masked_lm_loss"] + 2 * line["masked_lm_loss"] + line["cosine_loss"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5)
    # The teacher is no part of what is left behind.
    assert set(weights(tmp_path)) < set(weights(deep))
    assert "bert/encoder/layer_2/output/dense/kernel" not in weights(tmp_path)
    results = (tmp_path / "eval_results.txt").read_text()
    assert "masked_lm_accuracy" in results and "next_sentence_loss" in results
    with pytest.raises(UserError, match=f"another teacher: none, now it is {deep} with"):
        plain = {**options, "output_dir": tmp_path / "plain", "num_train_steps": 2}
        run_script("run_pretraining", **plain)
        run_script("run_pretraining", **plain, teacher=deep)
