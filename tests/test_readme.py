"""The commands for data of one's own, as they stand in README and docs, on tiny files."""

from __future__ import annotations

import pathlib
import re
import shlex
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from models import random_weights
from runs import predictions, results
from scripts import ROOT, run_script

from checkpoints.model_folder import write_model_folder
from modeling.config import load_config
from modeling.heads import PretrainingModel

# What a test has no time for.
SMALLER = {"num_train_steps": "2", "num_warmup_steps": "1", "dupe_factor": "1"}


def commands_of(page: str, heading: str) -> list[tuple[str, dict[str, str]]]:
    """Script, without `.py`, and flags of each command in a section of a page."""
    section = (ROOT / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    commands = []
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "python"
            given = (word.removeprefix("--").partition("=") for word in words[2:])
            values = {name: value or "True" for name, _, value in given}
            commands.append((words[1].removesuffix(".py"), values))
    return commands


def relabelled(table: pathlib.Path, path: pathlib.Path) -> None:
    """A table of the layout of SST-2 with the columns that the README names."""
    header, *rows = table.read_text().splitlines()
    text = header.split("\t").index("sentence")
    cells = [row.split("\t") for row in rows]
    lines = [f"{row[text]}\t{'positive' if row[-1] == '1' else 'negative'}\n" for row in cells]
    path.write_text("text\tlabel\n" + "".join(lines))


@pytest.fixture
def folder(
    tmp_path: pathlib.Path,
    task_dir: str,
    transfer_file: str,
    corpus_file: str,
    vocab_file: str,
    write_config: Callable[..., str],
) -> pathlib.Path:
    """All that the commands start from, under the names of the README."""
    for name in ("my_task", "text"):
        (tmp_path / name).mkdir()
    for name in ("train", "dev", "test"):
        relabelled(pathlib.Path(task_dir) / f"{name}.tsv", tmp_path / "my_task" / f"{name}.tsv")
    shutil.copy(transfer_file, tmp_path / "unlabelled.txt")
    shutil.copy(corpus_file, tmp_path / "text" / "a.txt")
    config = load_config(write_config(num_hidden_layers=1, max_position_embeddings=128))
    weights = random_weights(PretrainingModel(config))
    for name in ("uncased_L-12_H-768_A-12", "uncased_L-4_H-256_A-4"):
        write_model_folder(str(tmp_path / name), weights, config, vocab_file, {})
    return tmp_path


def test_your_own_data_in_six_commands(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    commands = commands_of("README.md", "Your own data in six commands")
    assert len(commands) == 6 + 2  # And two for a student that is pre-trained on text of one's own.
    for script, values in commands:
        smaller = {name: value for name, value in SMALLER.items() if name in values}
        run_script(script, **values | smaller)
    # How good such a student is says nothing: its start is random, and the task is learnt in a dozen
    # updates.
    for model in ("teacher", "student_pd", "student"):
        assert results(folder / model)["eval_accuracy"] > 0
    answers = predictions(folder / "answers")
    assert len(answers) == (folder / "my_task" / "test.tsv").read_text().count("\n") - 1
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    assert (folder / "answers" / "labels.txt").read_text() == "negative\npositive\n"
    assert (folder / "my_mini" / "bert_model.ckpt.index").exists()

    # The same student on rows without labels, in a folder without a training set.
    (folder / "student").rename(folder / "tiny_pdf")
    texts = (folder / "my_task" / "test.tsv").read_text().splitlines()
    (folder / "new_rows").mkdir()
    lines = [line.partition("\t")[0] + "\n" for line in texts]
    (folder / "new_rows" / "test.tsv").write_text("".join(lines))
    ((script, values),) = commands_of("docs/deployment.md", "Predictions of a table")
    run_script(script, **values)
    np.testing.assert_array_equal(predictions(folder / "predictions"), answers)
