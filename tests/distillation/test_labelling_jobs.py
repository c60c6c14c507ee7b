"""A labelling by files, as far as it is checked before it begins."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from models import write_classifier

from common.errors import UserError
from distillation.labelling_jobs import LabellingOptions, job_of_file, job_of_teachers
from distillation.soft_labels import TransferExample
from modeling.config import load_config


def options(folder: pathlib.Path, content: str, **more: Any) -> LabellingOptions:
    (folder / "scores.csv").write_text(content)
    given = {"output_dir": str(folder / "out"), **more}
    return LabellingOptions(from_file=str(folder / "scores.csv"), **given)


def test_job(tmp_path: pathlib.Path, vocab_file: str, caplog: pytest.LogCaptureFixture) -> None:
    content = "text,logit_a,logit_b\ngood,1,2\n,5,5\nbad,3,-4\n"
    job = job_of_file(options(tmp_path, content, vocab_file=vocab_file, labels=["b", "a"]))
    texts = job.transfer_set
    assert (texts.num_examples, texts.num_labelled, texts.are_pairs) == (2, 0, False)
    assert "1 rows without text are left out; the first: " in caplog.text
    examples = list(texts.examples())
    np.testing.assert_array_equal(job.outputs(examples, {}), [[2, 1], [-4, 3]])
    assert job.description["labels"] == ["b", "a"] and job.description["scores"] == "logits"
    # As in the original, where nothing is said.
    assert job.records.max_seq_length == 128
    assert job.assess() == {}


def test_digests_are_of_texts_and_of_scores(tmp_path: pathlib.Path, vocab_file: str) -> None:
    found = []
    for row in ("good,1", "good,1.0", "good,2", "bad,1"):
        given = options(tmp_path, f"text,score\n{row}\n", vocab_file=vocab_file)
        found.append(job_of_file(given).transfer_set)
    assert len({texts.sha256 for texts in found}) == 2
    assert found[0].sha256 == found[1].sha256 == found[2].sha256
    assert found[0].outputs_sha256 == found[1].outputs_sha256 == found[3].outputs_sha256
    assert found[0].outputs_sha256 != found[2].outputs_sha256


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("text,score\nx,1\n", {"vocab_file": ""}, "--from_file needs --vocab_file"),
        ("text,score\nx,1\n", {"regression": False}, "--noregression, but .* has scores"),
        ("text,score\n", {}, "--from_file=.*scores.csv: no text in these files"),
        ("text,p_a,p_b\nx,0,1\n", {"regression": True}, "no scores among the columns"),
    ],
)
def test_refusals(
    tmp_path: pathlib.Path, vocab_file: str, content: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        job_of_file(options(tmp_path, content, **{"vocab_file": vocab_file, **more}))


def test_texts_are_scored_by_the_file_alone(tmp_path: pathlib.Path, vocab_file: str) -> None:
    """An example without scores has no row among the outputs."""
    job = job_of_file(options(tmp_path, "text,score\nx,1.5\n", vocab_file=vocab_file))
    (example,) = job.transfer_set.examples()
    found = job.outputs([TransferExample("a:1", "y", None), example], {})
    np.testing.assert_array_equal(found, [[1.5]])


@pytest.mark.parametrize(
    ("pairs", "segments", "name", "message"),
    [
        (None, 1, "new.tsv", "new.tsv.*: found a pair .*teacher has one segment only"),
        (True, 2, "new.txt", "was trained on pairs of texts, but .*new.txt has single texts"),
        (False, 2, "new.tsv", r"single texts, but .*new.tsv \(read as a table without names"),
    ],
)
def test_texts_of_another_kind_than_the_teacher_knows(
    tmp_path: pathlib.Path,
    write_config: Callable[..., str],
    vocab_file: str,
    pairs: bool | None,
    segments: int,
    name: str,
    message: str,
) -> None:
    teacher = str(tmp_path / "teacher")
    config = load_config(write_config(num_hidden_layers=1, type_vocab_size=segments))
    write_classifier(teacher, config, vocab_file, 2, labels=["a", "b"], pairs=pairs)
    (tmp_path / "new.txt").write_text("good\n")
    (tmp_path / "new.tsv").write_text("text\tlabel\ngood\ta\n")
    given = LabellingOptions(
        init_checkpoint=teacher,
        input_file=str(tmp_path / name),
        output_dir=str(tmp_path / "out"),
        engine="tensorflow",
    )
    with pytest.raises(UserError, match=message):
        job_of_teachers(given)
