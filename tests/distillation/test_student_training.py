"""Training a student as a call from Python."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator

import pytest
from runs import metrics, results

from common.errors import UserError
from common.outputs import release_locks
from distillation import labelling
from distillation.labelling import LabellingOptions
from distillation.student_training import DistillationOptions, run


@pytest.fixture
def options(
    write_config: Callable[..., str], vocab_file: str, tmp_path: pathlib.Path
) -> Iterator[DistillationOptions]:
    """Of a student of the scores of eight texts, all of them in one batch."""
    words = ["good", "great", "fine", "superb", "bad", "awful", "poor", "dull"]
    rows = "".join(f"the film is {word},{2 if i < 4 else -2}\n" for i, word in enumerate(words))
    (tmp_path / "scores.csv").write_text("text,score\n" + rows)
    labels = LabellingOptions(
        from_file=str(tmp_path / "scores.csv"),
        vocab_file=vocab_file,
        max_seq_length=8,
        output_dir=str(tmp_path / "soft_labels"),
    )
    labelling.run(labels)
    release_locks()
    files = f"{tmp_path}/soft_labels/*.tfrecord"
    yield DistillationOptions(
        input_file=files,
        eval_file=files,
        bert_config_file=write_config(num_hidden_layers=1),
        vocab_file=vocab_file,
        train_batch_size=8,
        learning_rate=1e-2,
        num_train_epochs=30,
        log_steps=10,
        do_train=True,
        do_eval=True,
        output_dir=str(tmp_path / "student"),
    )
    release_locks()


def test_scores_are_learnt(options: DistillationOptions, tmp_path: pathlib.Path) -> None:
    run(options)
    train = metrics(tmp_path / "student", "train")
    assert [line["step"] for line in train] == [10, 20, 30]
    assert train[-1]["loss"] < 0.5 * train[0]["loss"]
    found = results(tmp_path / "student")
    assert found["global_step"] == 30 and found["teacher_pearson"] > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 2.0}, "--temperature=2.0, but .* has scores of a regression"),
        ({"hard_label_weight": 0.5}, "--hard_label_weight=0.5, but .* has no true labels"),
    ],
)
def test_losses_that_the_labels_have_nothing_for(
    options: DistillationOptions, tmp_path: pathlib.Path, changes: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(dataclasses.replace(options, **changes))
    assert not (tmp_path / "student").exists()


def test_whether_texts_are_pairs_is_recorded_and_checked(
    options: DistillationOptions, tmp_path: pathlib.Path
) -> None:
    run(dataclasses.replace(options, num_train_epochs=1))
    release_locks()
    path = tmp_path / "student" / "model_info.json"
    info = json.loads(path.read_text())
    assert info["pairs"] is False
    path.write_text(json.dumps({**info, "pairs": True}))
    with pytest.raises(UserError, match="pairs of texts, but --input_file=.* has single texts"):
        run(dataclasses.replace(options, do_train=False))
