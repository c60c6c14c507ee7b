"""Which runs a grid search makes, and what it chooses."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from common.errors import UserError
from experiments.fork_server import ForkServer
from experiments.grid_search import Cell, Grid, parse_values, search, split_arguments

# Stands in for a run: takes the scores of its evaluations from a file, notes that it ran.
SCRIPT = """
import json, pathlib, sys

flags = dict(argument[2:].partition("=")[::2] for argument in sys.argv[1:])
if "only_check_args" in flags:
    sys.exit("FATAL Flags:\\nUnknown flag 'wrong'\\nPass --helpfull" if "wrong" in flags else 0)
out = pathlib.Path(flags["output_dir"])
with open(flags["notes"], "a") as notes:
    notes.write(out.name + " ")
out.mkdir(parents=True)
if "do_predict" in flags:
    (out / "test_results.tsv").write_text(flags["init_checkpoint"])
    sys.exit()
scores = json.loads(pathlib.Path(flags["scores"]).read_text()).get(out.name)
if scores is None:
    out.rmdir()
    sys.exit("no score for " + out.name)
with open(out / "metrics.jsonl", "w") as file:
    for i, score in enumerate(scores):
        train = {"step": 10 * (i + 1), "kind": "train", "loss": 9.0}
        metrics = {"eval_loss": 1 - score, "loss": 1 - score, "eval_accuracy": score}
        evaluation = {"step": 10 * (i + 1), "kind": "eval", **metrics, "score": score}
        file.write(json.dumps(train) + "\\n" + json.dumps(evaluation) + "\\n")
"""
SCORES: dict[str, list[float]] = {
    "batch8_lr0.0003_seed1": [0.5],
    "batch8_lr5e-05_seed1": [0.6, 0.8, 0.7],
    "batch16_lr0.0003_seed1": [0.8],
    "batch16_lr5e-05_seed1": [0.75],
    "batch8_lr5e-05_seed2": [0.2, 0.4],
    "batch8_lr5e-05_seed3": [0.9],
}
CELLS = list(SCORES)[:4]
CHOSEN = ["batch8_lr5e-05_seed1", "batch8_lr5e-05_seed2", "batch8_lr5e-05_seed3"]


@pytest.fixture
def grid(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Grid:
    # The script that stands in for a run needs no TensorFlow, whose import takes seconds.
    monkeypatch.setattr(ForkServer, "can_run", lambda command: False)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    write_scores(tmp_path, SCORES)
    return Grid(
        script=str(script),
        arguments=(f"--scores={tmp_path}/scores.json", f"--notes={tmp_path}/notes"),
        output_dir=str(tmp_path / "grid"),
        train_batch_sizes=(8, 16),
        learning_rates=(3e-4, 5e-5),
        num_train_epochs=4.0,
        seeds=(1, 2, 3),
        predict=False,
    )


def write_scores(folder: pathlib.Path, scores: dict[str, list[float]]) -> None:
    (folder / "scores.json").write_text(json.dumps(scores))


def notes(folder: pathlib.Path) -> list[str]:
    """Names of the runs in the order they ran."""
    return (folder / "notes").read_text().split()


def test_grid_then_seeds_of_the_best(grid: Grid, tmp_path: pathlib.Path) -> None:
    """The best evaluation of a run counts; of equal runs the first one wins."""
    results = search(grid, num_jobs=1)
    assert notes(tmp_path) == [*CELLS, *CHOSEN[1:]]
    assert [result.cell.name for result in results.cells] == CELLS
    assert [result.score for result in results.cells] == [0.5, 0.8, 0.8, 0.75]
    assert [result.cell.name for result in results.chosen] == CHOSEN
    assert [result.score for result in results.chosen] == [0.8, 0.4, 0.9]
    first = results.chosen[0]
    assert first.cell == Cell(8, 5e-5, 1) and first.step == 20
    assert first.metrics == {"eval_loss": pytest.approx(0.2), "eval_accuracy": 0.8}
    assert first.folder == str(tmp_path / "grid" / CHOSEN[0]) and first.predictions is None

    marker = json.loads((tmp_path / "grid" / "stages" / f"{CELLS[2]}.done.json").read_text())
    assert marker["command"][1:] == [
        grid.script,
        *grid.arguments,
        "--do_train",
        "--do_eval",
        f"--output_dir={tmp_path}/grid/{CELLS[2]}",
        "--train_batch_size=16",
        "--learning_rate=0.0003",
        "--num_train_epochs=4.0",
        "--random_seed=1",
    ]


def test_negative_scores_and_one_seed(grid: Grid, tmp_path: pathlib.Path) -> None:
    write_scores(tmp_path, {name: [-float(i + 1)] for i, name in enumerate(CELLS)})
    results = search(dataclasses.replace(grid, seeds=(1,)), num_jobs=1)
    assert [result.cell.name for result in results.chosen] == CELLS[:1]
    assert notes(tmp_path) == CELLS


def test_test_set_is_predicted_by_the_chosen_setting_alone(
    grid: Grid, tmp_path: pathlib.Path
) -> None:
    """Also when that is asked for after the search; nothing is trained again."""
    search(grid, num_jobs=1)
    before = len(notes(tmp_path))
    results = search(dataclasses.replace(grid, predict=True), num_jobs=1)
    assert notes(tmp_path)[before:] == [f"{name}_predictions" for name in CHOSEN]
    for run in results.chosen:
        assert run.predictions == f"{run.folder}_predictions/test_results.tsv"
        assert pathlib.Path(run.predictions).read_text() == f"{run.folder}/best"


def test_interrupted_search_goes_on(grid: Grid, tmp_path: pathlib.Path) -> None:
    write_scores(tmp_path, {k: v for k, v in SCORES.items() if k != CELLS[2]})
    with pytest.raises(UserError) as caught:
        search(grid, num_jobs=1)
    message = str(caught.value)
    assert f"{CELLS[2]} failed with exit status 1: no score for {CELLS[2]}\n" in message
    assert f"log: {tmp_path}/grid/stages/{CELLS[2]}.log" in message
    assert notes(tmp_path) == CELLS[:3]
    write_scores(tmp_path, SCORES)
    results = search(grid, num_jobs=1)
    assert notes(tmp_path) == [*CELLS[:3], *CELLS[2:], *CHOSEN[1:]]
    again = search(grid, num_jobs=1)
    assert len(notes(tmp_path)) == 7
    assert again.chosen[1].score == results.chosen[1].score == 0.4


def test_grid_may_grow(grid: Grid, tmp_path: pathlib.Path) -> None:
    """Only new runs are made, and another setting may win."""
    search(dataclasses.replace(grid, train_batch_sizes=(8,), seeds=(1, 2)), num_jobs=1)
    before = len(notes(tmp_path))
    write_scores(tmp_path, {**SCORES, CELLS[3]: [0.85], "batch16_lr5e-05_seed2": [0.1]})
    results = search(dataclasses.replace(grid, seeds=(1, 2)), num_jobs=1)
    assert notes(tmp_path)[before:] == [*CELLS[2:], "batch16_lr5e-05_seed2"]
    assert [result.score for result in results.chosen] == [0.85, 0.1]


def test_runs_of_another_command_are_refused(grid: Grid, tmp_path: pathlib.Path) -> None:
    search(grid, num_jobs=1)
    before = notes(tmp_path)
    for changes in (
        {"num_train_epochs": 3.0},
        {"arguments": (*grid.arguments, "--max_seq_length=64")},
    ):
        with pytest.raises(UserError, match=f"{CELLS[0]}.done.json is from another command"):
            search(dataclasses.replace(grid, **changes), num_jobs=1)
    assert notes(tmp_path) == before


def test_unknown_flag_of_the_script(grid: Grid, tmp_path: pathlib.Path) -> None:
    wrong = dataclasses.replace(grid, arguments=(*grid.arguments, "--wrong=1"))
    with pytest.raises(UserError, match="^flags of script.py: FATAL Flags: Unknown flag 'wrong'$"):
        search(wrong, num_jobs=1)
    assert not (tmp_path / "notes").exists()


def test_numbers_of_a_flag() -> None:
    assert parse_values("seeds", ["3", "1"], int) == (3, 1)
    assert parse_values("learning_rates", ["3e-4", "1"], float) == (3e-4, 1.0)
    with pytest.raises(UserError, match="--learning_rates=3e-4,0.0003 has a value twice"):
        parse_values("learning_rates", ["3e-4", "0.0003"], float)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [(["1", "x"], int), (["1.5"], int), ([], int), (["-1"], float), (["inf"], float)],
)
def test_bad_numbers_of_a_flag(texts: list[str], kind: type) -> None:
    with pytest.raises(UserError, match="^--flag=.*: expected (whole )?numbers, separated"):
        parse_values("flag", texts, kind)


def test_arguments_of_the_script(tmp_path: pathlib.Path) -> None:
    plain = ("--task_name=x", "--text_a", "sentence", "--evaluate_steps=5", "--use_tpu")
    assert split_arguments(plain) == (plain, False)
    for asked, predict in (("--do_predict", True), ("--do_predict=true", True)):
        assert split_arguments([*plain[:3], asked, *plain[3:]]) == (plain, predict)
    for asked in ("--nodo_predict", "--do_predict=False"):
        assert split_arguments([asked, *plain]) == (plain, False)
    more = tmp_path / "flags"
    more.write_text("--vocab_file=v\n--do_predict\n")
    assert split_arguments([*plain, f"--flagfile={more}"]) == ((*plain, "--vocab_file=v"), True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning_rate=3"], "--learning_rate after the -- .*; pass --learning_rates before"),
        (["--text_a", "x", "-train_batch_size", "8"], "--train_batch_size after the -- "),
        (["--num_train_epochs=3"], "--num_train_epochs after the -- "),
        (["--random_seed=3"], "--random_seed after the -- .*; pass --seeds before"),
        (["--output_dir=x"], "--output_dir after the -- "),
        (["--do_train"], "--do_train after the -- .*; every run of the grid trains"),
        (["--nodo_eval"], "--do_eval after the -- "),
        (["--make_glue_submission", "--do_predict"], "--make_glue_submission after the -- "),
        (["--do_predict=maybe"], "flags after the --: .*do_predict"),
        (["--flagfile=no_such_file"], "flags after the --: .*no_such_file"),
        (["--do_predict"], "--do_predict needs the task to predict: pass --task_name"),
    ],
)
def test_bad_arguments_of_the_script(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_arguments(arguments)
