"""Soft labels from files: what other systems say of texts, with --from_file."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from runs import contents, read_set, results
from scripts import run_script
from tiny_data import is_positive

from common.errors import UserError
from distillation.soft_labels import read_manifest


def lines_of(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text,p_a,p_b\n", {}, "no text in these files"),
        ("text,score\nx,1\n", {"regression": False}, "--noregression, but .* has scores"),
        ("text,p_a,p_b\nx,1,0\n", {"regression": True}, "no scores among"),
        ("text,p_a,p_b\nx,1,0\ny,nan,1\n", {}, r'a.csv, line 3: column "p_a" is "nan"'),
    ],
)
def test_bad_file_leaves_nothing(
    tmp_path: pathlib.Path, vocab_file: str, content: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.csv").write_text(content)
    run = {"from_file": tmp_path / "a.csv", "vocab_file": vocab_file, **options}
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **run, output_dir=tmp_path / "out")
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
