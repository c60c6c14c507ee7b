"""Tasks with few labels, and the median of runs."""

from __future__ import annotations

import collections
import json
import pathlib

import pytest
from scripts import run_script

from common.errors import UserError
from experiments.task_subset import stratified_choice


@pytest.mark.parametrize("number", [1, 4, 10, 37, 100])
def test_labels_keep_their_shares(number: int) -> None:
    labels = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    chosen = stratified_choice(labels, number, seed=3)
    assert len(set(chosen)) == number
    counts = collections.Counter(labels[i] for i in chosen)
    for label, share in (("a", 0.5), ("b", 0.3), ("c", 0.2)):
        assert abs(counts[label] - share * number) < 1
    assert chosen == stratified_choice(labels, number, seed=3)
    assert number in (1, 100) or set(chosen) != set(stratified_choice(labels, number, seed=4))


def test_smaller_choice_is_part_of_the_larger_one() -> None:
    labels = ["a", "b"] * 50
    small, large = (set(stratified_choice(labels, n, seed=1)) for n in (10, 40))
    assert small < large


def test_files(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = [f"{'yes' if i % 3 else 'no'}\tpremise {i}\thypothesis {i}\n" for i in range(12)]
    for name in ("train", "dev"):
        (data / f"{name}.tsv").write_text("label\tone\ttwo\n" + "".join(rows))
    run_script(
        "experiments/label_subset",
        task_name="tsv",
        text_a="one",
        text_b="two",
        label="label",
        data_dir=data,
        num_labels=3,
        output_dir=tmp_path / "out",
    )
    out = {path.name: path.read_text().splitlines() for path in (tmp_path / "out").iterdir()}
    assert set(out) == {"train.tsv", "dev.tsv", "unlabelled.tsv", "dev_texts.tsv"}
    assert out["train.tsv"][0] == "text_a\ttext_b\tlabel" and len(out["train.tsv"]) == 4
    texts = {line.rpartition("\t")[0] for line in out["train.tsv"][1:]}
    assert texts.isdisjoint(out["unlabelled.tsv"]) and len(out["unlabelled.tsv"]) == 9
    assert out["dev_texts.tsv"][0] == "premise 0\thypothesis 0"
    assert out["dev.tsv"][1] == "premise 0\thypothesis 0\tno"


def test_too_few_examples(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--num_labels=5, but there are 2 training examples"):
        stratified_choice(["a", "b"], 5, seed=1)


def test_median_run(tmp_path: pathlib.Path) -> None:
    for name, score in (("one", 0.9), ("two", 0.5), ("three", 0.7)):
        folder = tmp_path / name
        folder.mkdir()
        record = {"step": 1, "kind": "eval", "score": score}
        (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        (folder / "eval_results.txt").write_text(f"eval_accuracy = {score}\n")
        (folder / "bert_model.ckpt.index").write_text(name)
        (folder / "checkpoint").write_text("a saved state")
    runs = ",".join(str(tmp_path / name) for name in ("one", "two", "three"))
    run_script("experiments/median_run", runs=runs, output_dir=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."} == {
        "metrics.jsonl",
        "eval_results.txt",
        "bert_model.ckpt.index",
    }
    assert (tmp_path / "out" / "bert_model.ckpt.index").read_text() == "three"
