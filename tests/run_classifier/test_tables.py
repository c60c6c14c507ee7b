"""Tasks in the layouts that they come in."""

from __future__ import annotations

import json
import lzma
import pathlib
import random
import shutil
from typing import Any

import numpy as np
import pytest
from runs import (
    info,
    predictions,
    results,
)
from scripts import run_script
from tiny_data import column, is_positive, review

from classification import glue_submission
from classification.glue_submission import GlueTestSet
from common.errors import UserError


def test_any_table_with_a_header(
    options: dict[str, Any], new_model: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    """Named columns in any order, words for labels, compressed tables, no label in test.tsv."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for name in ("train", "dev"):
        rows = zip(*(column(f"{task_dir}/{name}.tsv", i) for i in (1, 0)), strict=True)
        lines = [f"{'for' if label == '1' else 'against'}\t7\t{text}" for label, text in rows]
        content = "\n".join(["opinion\tstars\treview", *lines]) + "\n"
        with lzma.open(data / f"{name}.tsv.xz", "wt", encoding="utf-8") as f:
            f.write(content)
    (data / "test.tsv").write_text("\n".join(["review", *column(f"{task_dir}/test.tsv", 1)]))
    run_script(
        "run_classifier",
        **{**options, "task_name": "tsv", "data_dir": data},
        **new_model,
        text_a="review",
        label="opinion",
        output_dir=out,
        do_train=True,
        do_eval=True,
        do_predict=True,
        num_train_epochs=5,
    )
    assert results(out)["eval_accuracy"] > 0.9
    assert (out / "labels.txt").read_text() == "against\nfor\n"
    assert info(out)["labels"] == ["against", "for"]
    truth = [is_positive(text) for text in column(f"{task_dir}/test.tsv", 1)]
    assert np.mean(predictions(out).argmax(axis=1) == truth) > 0.9


def test_mnli_and_ax_make_their_files_of_a_glue_submission(
    options: dict[str, Any],
    new_model: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two development and two test sets; then another task with the same model."""
    rng = random.Random(4)
    words = ("contradiction", "entailment", "neutral")
    columns = [f"column {i}" for i in range(12)]
    data = tmp_path / "data"
    data.mkdir()

    def write(name: str, count: int, first_text: int, label: bool) -> None:
        rows = []
        for i in range(count):
            pair = [review(rng, rng.randint(0, 1)) for _ in range(2)]
            cells = [str(count - 1 - i), *["-"] * (first_text - 1), *pair]
            rows.append([*cells, "-", rng.choice(words)] if label else cells)
        lines = [columns[: len(rows[0])], *rows]
        (data / f"{name}.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))

    write("train", 40, 8, label=True)
    for kind, count in (("matched", 7), ("mismatched", 5)):
        write(f"dev_{kind}", count, 8, label=True)
        write(f"test_{kind}", count + 1, 8, label=False)
    write("diagnostic", 4, 1, label=False)
    sizes = {
        "mnli": (GlueTestSet("MNLI-m", 8), GlueTestSet("MNLI-mm", 6)),
        "ax": (GlueTestSet("AX", 4),),
    }
    monkeypatch.setattr(glue_submission, "TEST_SETS", sizes)
    flags = {
        **options,
        "data_dir": data,
        "max_seq_length": 32,
        "make_glue_submission": True,
        "submission_dir": tmp_path / "submission",
        "do_predict": True,
    }
    mnli, ax = tmp_path / "mnli", tmp_path / "ax"
    run_script(
        "run_classifier",
        **{**flags, "task_name": "mnli", "num_train_epochs": 2},
        **new_model,
        output_dir=mnli,
        do_train=True,
        do_eval=True,
    )
    run_script(
        "run_classifier", **{**flags, "task_name": "ax"}, init_checkpoint=mnli, output_dir=ax
    )
    assert results(mnli)["eval_accuracy"] in np.arange(8) / 7
    mismatched = results(mnli, "eval_results_dev_mismatched")["eval_accuracy"]
    assert mismatched == pytest.approx(np.round(5 * mismatched) / 5)
    assert (mnli / "labels.txt").read_text() == "contradiction\nentailment\nneutral\n"
    outputs = {
        "MNLI-m": predictions(mnli),
        "MNLI-mm": predictions(mnli, "test_results_test_mismatched"),
        "AX": predictions(ax),
    }
    submission = tmp_path / "submission"
    for name, probabilities in outputs.items():
        _, *lines = (submission / f"{name}.tsv").read_text().splitlines()
        # The tables count backwards.
        expected = [words[i] for i in probabilities.argmax(axis=1)[::-1]]
        assert lines == [f"{i}\t{word}" for i, word in enumerate(expected)]
    assert sorted(path.name for path in submission.iterdir()) == [
        "AX.tsv",
        "MNLI-m.tsv",
        "MNLI-mm.tsv",
        "glue_submission.zip",
    ]


def test_tensorflow_datasets_in_place_of_files(
    trained: pathlib.Path, options: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    """The same rows give the same evaluation and, row by row, the same predictions."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources")
    data = tmp_path / "data"
    dev = zip(column(f"{task_dir}/dev.tsv", 0), column(f"{task_dir}/dev.tsv", 1), strict=True)
    rows = {
        "validation": [(text, int(label)) for text, label in dev],
        "test": [(text, -1) for text in column(f"{task_dir}/test.tsv", 1)],
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="glue",
        config="sst2",
        version=str(tfds.builder("glue/sst2", data_dir=str(data)).version),
        data_dir=str(data),
        features=tfds.features.FeaturesDict(
            {
                "sentence": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["negative", "positive"]),
                "idx": np.int32,
            }
        ),
        split_datasets={
            split: [
                (i, {"sentence": text, "label": label, "idx": i})
                for i, (text, label) in enumerate(examples)
            ]
            for split, examples in rows.items()
        },
    )
    out = tmp_path / "out"
    run_script(
        "run_classifier",
        **{**options, "data_dir": data, "data_source": "tfds"},
        init_checkpoint=trained,
        output_dir=out,
        do_eval=True,
        do_predict=True,
    )
    assert results(out) == pytest.approx(results(trained), rel=1e-4)
    builder = tfds.builder("glue/sst2", data_dir=str(data))
    order = [int(row["idx"]) for row in tfds.as_numpy(builder.as_dataset(split="test"))]
    assert order != sorted(order)
    np.testing.assert_allclose(predictions(out), predictions(trained)[order], rtol=2e-5)


def test_json_lines(
    trained: pathlib.Path, options: dict[str, Any], task_dir: str, tmp_path: pathlib.Path
) -> None:
    """The development set of SST-2 as JSON Lines, with numbers for labels."""
    rows = zip(column(f"{task_dir}/dev.tsv", 0), column(f"{task_dir}/dev.tsv", 1), strict=True)
    lines = [json.dumps({"stars": int(label), "review": text}) for text, label in rows]
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    (data / "dev.jsonl").write_text("\n".join(lines))
    flags = {"text_a": "review", "label": "stars", "labels": "0,1", "do_eval": True}
    run_script(
        "run_classifier",
        **{**options, "task_name": "jsonl", "data_dir": data},
        **flags,
        init_checkpoint=trained,
        output_dir=out,
    )
    assert results(out) == pytest.approx(results(trained), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("train", "good film\t2", r'train\.tsv, line 202: unknown label "2".*are 0, 1'),
        ("dev", "good film\t", r'dev\.tsv, line 63: unknown label ""'),
        ("dev", "good film", r"dev\.tsv, line 63: found 1 column, expected at least 2"),
        ("dev", "good\tfilm\t1", r"dev\.tsv, line 63: found 3 columns"),
        ("test", "37", r"test\.tsv, line 39: found 1 column, expected at least 2"),
        ("test", None, r"test\.tsv \(or test\.tsv\.gz, test\.tsv\.xz, .*\) is missing"),
    ],
)
def test_bad_tables(
    options: dict[str, Any],
    new_model: dict[str, Any],
    task_dir: str,
    tmp_path: pathlib.Path,
    name: str,
    line: str | None,
    message: str,
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(task_dir, data)
    table = data / f"{name}.tsv"
    if line is None:
        table.unlink()
    else:
        table.write_text(table.read_text() + line + "\n")
    run = {**options, **new_model, "data_dir": data, "output_dir": out}
    with pytest.raises(UserError, match=message):
        run_script("run_classifier", **run, do_train=True, do_eval=True, do_predict=True)
    assert not (out / f"{name}.tf_record").exists()
    assert not list(out.glob("*.index"))
