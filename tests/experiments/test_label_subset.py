"""experiments/label_subset.py: the tables of a task with few labels."""

from __future__ import annotations

import pathlib

from scripts import run_script


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
