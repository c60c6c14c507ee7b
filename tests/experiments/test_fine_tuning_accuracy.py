"""Accuracy beside transformers: the batches that both take, and the table."""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from scripts import load_script

from common.errors import UserError
from data.classifier_records import Example, write_classifier_records
from experiments import fine_tuning_accuracy
from experiments.fine_tuning_accuracy import (
    CORRECTED,
    OURS,
    OWN_ORDER,
    SAME_BATCHES,
    accuracies,
    conversion,
    fine_tuning,
    report,
)
from modeling.tokenization import SPECIAL_TOKENS, FullTokenizer
from training.flag_checks import check_flags

_SETTINGS = argparse.Namespace(
    task_name="SST-2",
    data_dir="data",
    init_checkpoint="model",
    max_seq_length=64,
    learning_rate=1e-4,
    epochs=3.0,
)


@pytest.mark.parametrize(
    "command",
    [
        conversion("model", "out"),
        fine_tuning(_SETTINGS, OURS, 1, "out"),
        fine_tuning(_SETTINGS, CORRECTED, 1, "out"),
    ],
)
def test_commands_have_flags_of_their_scripts(command: list[str]) -> None:
    script = command[0].removesuffix(".py")
    given = (flag.removeprefix("--").partition("=") for flag in command[1:])
    parsed = load_script(script, **{name: value if sep else True for name, sep, value in given})
    check_flags(parsed, script)


def test_table_pairs_by_seed() -> None:
    """Differences of 1, 2 and 3 points: mean 2, 95 % interval 4.303 · 1 / √3 (t table)."""
    found = {
        OURS: {"1": 80.0, "2": 82.0, "3": 84.0},
        SAME_BATCHES: {"1": 79.0, "2": 80.0, "3": 81.0},
        OWN_ORDER: {"2": 83.0},
    }
    rows = report(found).splitlines()[2:]
    assert rows == [
        "| run_classifier.py | 82.00 ± 2.00 | 3 |  |",
        "| transformers, the same batches | 80.00 ± 1.00 | 3 | +2.00 ± 2.48 |",
        "| transformers, an order of its own | 83.00 | 1 | -1.00 |",
    ]


@pytest.fixture
def ran(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Contestants and seeds that were run, each right in half of the rows; in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for folder, name in (("model", "bert_model.ckpt.index"), ("data", "train.tsv")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(name)
    seen: list[tuple[str, int]] = []

    def accuracy(args: argparse.Namespace, name: str, seed: int, hugging_face: str) -> float:
        seen.append((name, seed))
        return 0.5

    monkeypatch.setattr(fine_tuning_accuracy, "_accuracy", accuracy)
    monkeypatch.setattr(
        fine_tuning_accuracy, "_run", lambda *_: pathlib.Path("hugging_face").mkdir()
    )
    return seen


def asked(seeds: int = 1, **changes: Any) -> argparse.Namespace:
    known = vars(_SETTINGS) | {"output_dir": ".", "first_seed": 1, "skip_own_order": True}
    return argparse.Namespace(**{**known, "seeds": seeds, **changes})


def test_more_seeds_go_on(ran: list[tuple[str, int]]) -> None:
    accuracies(asked())
    found = accuracies(asked(seeds=2))
    assert ran == [(name, seed) for seed in (1, 2) for name in (OURS, CORRECTED, SAME_BATCHES)]
    assert found[OURS] == {"1": 50, "2": 50}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"learning_rate": 1e-3},
            "--learning_rate=0.0001, this command has --learning_rate=0.001; use",
        ),
        (
            {"init_checkpoint": "another"},
            "--init_checkpoint=model, this .*=another; use another --out",
        ),
    ],
)
def test_other_settings_are_no_further_seeds(
    ran: list[tuple[str, int]], changes: dict[str, Any], message: str
) -> None:
    """Their accuracies would stand in one mean."""
    accuracies(asked())
    with pytest.raises(UserError, match=rf"accuracies\.json is of runs with {message}"):
        accuracies(asked(seeds=2, **changes))
    assert len(ran) == 3


@pytest.mark.parametrize("changed", ["model/bert_model.ckpt.index", "data/train.tsv"])
def test_other_content_is_no_further_seed(ran: list[tuple[str, int]], changed: str) -> None:
    accuracies(asked())
    pathlib.Path(changed).write_text("other")
    with pytest.raises(
        UserError, match=r"accuracies\.json is from other content of --.*; use another"
    ):
        accuracies(asked(seeds=2))


def test_results_of_unknown_settings(ran: list[tuple[str, int]]) -> None:
    """Those of earlier versions, or a model that was converted without a note of it."""
    pathlib.Path("hugging_face").mkdir()
    with pytest.raises(UserError, match="earlier version, which took no note of settings"):
        accuracies(asked())
    pathlib.Path("accuracies.json").write_text(json.dumps({OURS: {"1": 80.0}}))
    with pytest.raises(UserError, match="earlier version, which took no note of settings"):
        accuracies(asked())
    assert not ran


def test_both_take_the_batches_of_a_run(tmp_path: pathlib.Path) -> None:
    """96 rows in 3 batches an epoch: each row comes once an epoch, in another order each time."""
    words = [f"w{i}" for i in range(96)]
    vocab_file = tmp_path / "vocab.txt"
    vocab_file.write_text("\n".join((*SPECIAL_TOKENS, *words)) + "\n")
    tokenizer = FullTokenizer(str(vocab_file), do_lower_case=True)
    rows = [
        Example(f"train-{i}", "t", " ".join(words[: 1 + i % 20]) + f" {word}", None, str(i % 2))
        for i, word in enumerate(words)
    ]
    for name in ("train", "eval"):
        path = str(tmp_path / f"{name}.tf_record")
        write_classifier_records(path, tokenizer, rows, ("0", "1"), 24)
    arrays = fine_tuning_accuracy._all_rows(str(tmp_path))
    assert arrays["train_labels"].tolist() == [i % 2 for i in range(96)]
    assert arrays["dev_lengths"].tolist() == [4 + i % 20 for i in range(96)]
    np.savez(tmp_path / "rows.npz", **arrays)
    order = fine_tuning_accuracy._batches(str(tmp_path), str(tmp_path / "rows.npz"), 1, epochs=2.0)
    assert order.shape == (6, 32)
    assert sorted(order[:3].ravel()) == sorted(order[3:].ravel()) == list(range(96))
    assert order[:3].ravel().tolist() != order[3:].ravel().tolist()
