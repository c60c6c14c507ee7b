"""Soft labels from files: what other systems say of texts, with --from_file."""

from __future__ import annotations

import gzip
import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from runs import contents, read_set, results
from scripts import run_script
from tiny_data import is_positive

from common.errors import UserError
from distillation.score_files import FLOOR, ScoreFiles
from distillation.soft_labels import read_manifest

LOW = math.log(FLOOR)


def lines_of(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


@pytest.mark.parametrize(
    ("name", "content", "options", "labels", "outputs"),
    [
        (
            "a.csv",
            'text,p_b,p_a\n"good, ""fine""\nfilm",0.25,0.75\nbad,1,0\n',
            {},
            ["b", "a"],
            [[math.log(0.25), math.log(0.75)], [0, LOW]],
        ),
        ("a.tsv", "p_no\tp_yes\tmine\n0.5\t0.5\tx\n", {"text_a": "mine"}, ["no", "yes"], None),
        ("a.csv", "text,logit_a,logit_b\nx,-3,2.5\n", {}, ["a", "b"], [[-3, 2.5]]),
        (
            "a.csv",
            "text,p_value,p_a,p_b\nx,9,0.4,0.6\n",
            {"labels": ["b", "a"]},
            ["b", "a"],
            [[math.log(0.6), math.log(0.4)]],
        ),
        ("a.csv", "text,score\nx,2.5\n", {}, [], [[2.5]]),
        ("a.csv", "text,score,p_a\nx,2.5,1\n", {"labels": []}, [], [[2.5]]),
        (
            "a.jsonl",
            lines_of(
                {"text": "x", "votes": {"a": 3, "b": 1}},
                {"votes": {"b": 2, "a": 0}, "text": "y", "other": [1]},
            ),
            {},
            ["a", "b"],
            [[math.log(0.75), math.log(0.25)], [LOW, 0]],
        ),
        (
            "a.jsonl",
            lines_of({"text": "x", "logits": {"a": 3, "b": -1e-3}}),
            {"labels": ["b", "a"]},
            ["b", "a"],
            [[-1e-3, 3]],
        ),
        (
            "a.jsonl",
            lines_of({"text": "x", "label": "a", "p_a": 1.0, "p_b": 0.0}),
            {},
            ["a", "b"],
            [[0, LOW]],
        ),
        (
            "a.jsonl.gz",
            lines_of({"text": " ", "logits": {"a": 0}}, {"text": "x", "probabilities": {}}),
            {"labels": ["a", "b"]},
            UserError,
            'a.jsonl.gz, line 2: "logits" is None, expected an object',
        ),
    ],
)
def test_kinds_of_scores(
    tmp_path: pathlib.Path,
    name: str,
    content: str,
    options: dict[str, Any],
    labels: Any,
    outputs: Any,
) -> None:
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    if labels is UserError:
        with pytest.raises(UserError, match=outputs):
            list(ScoreFiles(str(tmp_path / name), **options).read())
        return
    scores = ScoreFiles(str(tmp_path / name), **options)
    assert scores.labels == labels
    found = list(scores.read())
    if outputs:
        np.testing.assert_allclose([e.outputs for e in found], outputs, rtol=1e-12)
    assert all(e.text_b is None for e in found)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.txt", "x\n", {}, "a.txt: cannot tell its format"),
        ("a.csv", "", {}, "a.csv is empty"),
        ("a.csv", "text,p_a,p_b\n", {}, "no text in these files"),
        ("a.csv", "words,p_a,p_b\nx,0,1\n", {}, "with --text_a; there are words, p_a, p_b"),
        ("a.csv", "text,p_a,p_b\nx,0,1\n", {"text_a": "y"}, 'no column is called "y"'),
        ("a.csv", "text,p_a,p_b,p_a\nx,0,1,1\n", {}, '2 columns are called "p_a"'),
        ("a.csv", "text,label\nx,1\n", {}, "no scores among the columns text, label; expected col"),
        (
            "a.csv",
            "text,p_a\nx,1\n",
            {},
            "probabilities of the label a alone among the columns text, p_a; .* the column score",
        ),
        (
            "a.csv",
            "text,p_a,p_b\nx,1,0\n",
            {"labels": "a,b,c"},
            'a.csv: no column is called "p_c", which --labels=a,b,c asks for; there are p_a, p_b; '
            "add a column for each label, or pass --labels=a,b if these are all.$",
        ),
        (
            "a.csv",
            "text,logit_a,p_x\nx,1,0\n",
            {"labels": "a,b"},
            '"logit_b", .* there are logit_a; add a column for each label.$',
        ),
        ("a.csv", "text,p_a,p_b\nx,1,0\n", {"labels": "c,d"}, 'called "p_c" or "p_d", .* p_a, p_b'),
        (
            "a.csv",
            "text,p_a,p_b\nx,0.5,0.2\n",
            {},
            "line 2: the probabilities p_a, p_b sum to 0.7, .* add the label that is missing, to the",
        ),
        ("a.csv", "text,p_a,p_b\nx,1,0\n", {"regression": True}, "no scores among"),
        ("a.csv", "text,score\nx,1\n", {"regression": False}, "--noregression, but .* has scores"),
        (
            "a.csv",
            "text,p_a,p_b,logit_a,logit_b\nx,1,0,1,1\n",
            {},
            "there are probabilities and logits .* leave all but one out",
        ),
        (
            "a.csv",
            "text,p_a,p_b\nx,1,0\ny,nan,1\n",
            {},
            r'a.csv, line 3: column "p_a" is "nan", expected a finite number; correct',
        ),
        ("a.csv", "text,logit_a,logit_b\nx,1,inf\n", {}, 'line 2: column "logit_b" is "inf"'),
        ("a.csv", "text,logit_a,logit_b\nx,1,1e39\n", {}, 'line 2: column "logit_b" is "1e39"'),
        ("a.csv", "text,p_a,p_b\nx,,1\n", {}, 'line 2: column "p_a" is ""'),
        ("a.csv", "text,score\nx,good\n", {}, 'line 2: column "score" is "good"'),
        (
            "a.csv",
            "text,p_a,p_b\nx,0.5,0.6\n",
            {},
            "line 2: the probabilities p_a, p_b sum to 1.1, .* pass --labels if some of them",
        ),
        ("a.csv", "text,p_a,p_b\nx,-0.5,1.5\n", {}, "line 2: found -0.5 among the probabilities"),
        ("a.csv", "text,p_a,p_b\nx,1\n", {}, "line 2: found 2 columns, but the header names 3"),
        (
            "a.jsonl",
            lines_of({"text": "x", "votes": {"a": 1, "b": 0}}, {"text": "y", "votes": {"a": 1}}),
            {},
            'line 2: "votes" has the labels a, expected a, b',
        ),
        ("a.jsonl", lines_of({"text": "x", "votes": {"a": 0, "b": 0}}), {}, "all votes are 0"),
        (
            "a.jsonl",
            lines_of({"text": "x", "votes": {"a": -1, "b": 2}}),
            {},
            "found -1 among the v",
        ),
        (
            "a.jsonl",
            lines_of({"text": "x", "votes": [1, 2]}),
            {},
            r"\[1, 2\], expected an object",
        ),
        ("a.jsonl", lines_of({"text": "x", "p_a": True, "p_b": 0}), {}, 'column "p_a" is "true"'),
        (
            "a.jsonl",
            lines_of({"text": "x", "logits": {"a": 1, "b": 2}}, {"logits": {"a": 1, "b": 2}}),
            {},
            'line 2: no column is called "text"',
        ),
        (
            "a.jsonl",
            '{"text": "x", "logits": {"a": NaN, "b": 2}}',
            {},
            'line 1: "a" in "logits" is "NaN", expected a finite number',
        ),
    ],
)
def test_bad_files(
    tmp_path: pathlib.Path,
    vocab_file: str,
    name: str,
    content: str,
    options: dict[str, Any],
    message: str,
) -> None:
    (tmp_path / name).write_text(content)
    run = {"from_file": tmp_path / name, "vocab_file": vocab_file, **options}
    with pytest.raises(UserError, match=message) as error:
        run_script("create_soft_labels", **run, output_dir=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_file": ""}, "--from_file needs --vocab_file, the vocabulary of the student"),
        ({"init_checkpoint": "a"}, "--init_checkpoint=a has no effect with --from_file"),
        ({"input_file": "a.txt"}, "--input_file=a.txt has no effect with --from_file"),
        ({"teacher_weights": "1,2"}, "--teacher_weights=1,2 has no effect with --from_file"),
        ({"output_dir": "{folder}"}, "contains --from_file"),
        ({"max_seq_length": 12}, "was made with max_seq_length = 128, this run has 12"),
        ({"labels": "b,a"}, "was made with labels = "),
    ],
)
def test_identity_of_a_set_and_refused_flags(
    tmp_path: pathlib.Path, vocab_file: str, changes: dict[str, Any], message: str
) -> None:
    path, out = tmp_path / "scores.csv", tmp_path / "out"
    path.write_text("text,p_a,p_b\ngood film,0.5,0.5\n")
    run = {"from_file": path, "vocab_file": vocab_file, "output_dir": out}
    run_script("create_soft_labels", **run)
    before = contents(out)
    changes = {k: str(v).format(folder=tmp_path) for k, v in changes.items()}
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **{**run, **changes})
    path.write_text("text,p_a,p_b\ngood film,0.5,0.4999\n")
    with pytest.raises(UserError, match="was made with teacher_weights_sha256 = .* --start_over"):
        run_script("create_soft_labels", **run)
    assert contents(out) == before


def test_pairs_shards_and_resume(tmp_path: pathlib.Path, vocab_file: str) -> None:
    """Two processes make what one makes; a lost shard is written again."""
    for part in (1, 2):
        rows = [{"text_a": f"film {i}", "text_b": "plot", "score": i / part} for i in range(7)]
        (tmp_path / f"{part}.jsonl").write_text(lines_of(*rows))
    run = {
        "from_file": f"{tmp_path}/*.jsonl",
        "vocab_file": vocab_file,
        "max_seq_length": 16,
        "examples_per_shard": 4,
    }
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    run_script("create_soft_labels", **run, output_dir=whole)
    for index in (1, 0):
        share = {"num_shards": 2, "shard_index": index}
        run_script("create_soft_labels", **run, **share, output_dir=shared)
    (shared / "soft_labels-00003.tfrecord").unlink()
    run_script("create_soft_labels", **run, output_dir=shared)
    assert contents(shared) == contents(whole)
    manifest = read_manifest(sorted(map(str, whole.glob("*.tfrecord"))))
    assert (manifest["labels"], manifest["are_pairs"], manifest["scores"]) == ([], True, "score")
    expected = [i / part for part in (1, 2) for i in range(7)]
    np.testing.assert_allclose(read_set(whole, [])["teacher_logits"][:, 0], expected, rtol=1e-6)


def test_predictions_are_soft_labels(
    teacher: pathlib.Path,
    options: dict[str, Any],
    soft_labels: pathlib.Path,
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    """What predict.py writes is as good as the teacher itself."""
    scores, labels = tmp_path / "scores.csv", tmp_path / "labels"
    predicted = {"init_checkpoint": teacher, "input_file": options["input_file"]}
    run_script("predict", **predicted, output_file=scores)
    flags = {"vocab_file": vocab_file, "max_seq_length": 16}
    run_script("create_soft_labels", **flags, from_file=scores, output_dir=labels)
    found, expected = read_set(labels), read_set(soft_labels)
    np.testing.assert_array_equal(found["input_ids"], expected["input_ids"])
    odds = [np.diff(s["teacher_logits"])[:, 0] for s in (found, expected)]
    np.testing.assert_allclose(*odds, atol=1e-4)


def test_student_of_a_file(
    transfer_file: str,
    task_dir: str,
    vocab_file: str,
    write_config: Callable[..., str],
    tmp_path: pathlib.Path,
) -> None:
    """Votes of a system that is no model at all."""
    texts = pathlib.Path(transfer_file).read_text().splitlines()
    votes = ({"1": 4, "0": 1} if is_positive(text) else {"1": 0, "0": 5} for text in texts)
    rows = [{"text": text, "votes": each} for text, each in zip(texts, votes, strict=True)]
    (tmp_path / "votes.jsonl").write_text(lines_of(*rows))
    run_script(
        "create_soft_labels",
        from_file=tmp_path / "votes.jsonl",
        labels="0,1",
        vocab_file=vocab_file,
        max_seq_length=16,
        output_dir=tmp_path / "labels",
    )
    run_script(
        "run_distill",
        input_file=f"{tmp_path}/labels/*.tfrecord",
        bert_config_file=write_config(num_hidden_layers=1, hidden_size=48, initializer_range=0.05),
        vocab_file=vocab_file,
        task_name="SST-2",
        data_dir=task_dir,
        train_batch_size=16,
        learning_rate=2e-3,
        num_train_epochs=8,
        do_train=True,
        do_eval=True,
        output_dir=tmp_path / "student",
    )
    assert results(tmp_path / "student")["eval_accuracy"] > 0.85


def test_file_has_no_hidden_states(
    tmp_path: pathlib.Path, vocab_file: str, write_config: Callable[..., str]
) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("text,p_a,p_b\ngood film,0.5,0.5\n")
    labels = tmp_path / "labels"
    flags = {"vocab_file": vocab_file, "max_seq_length": 16}
    run_script("create_soft_labels", **flags, from_file=path, output_dir=labels)
    with pytest.raises(
        UserError, match="--patience_weight needs hidden states, .* with one teacher"
    ):
        run_script(
            "run_distill",
            input_file=f"{labels}/*.tfrecord",
            bert_config_file=write_config(),
            vocab_file=vocab_file,
            patience_weight=1,
            do_train=True,
            output_dir=tmp_path / "student",
        )
