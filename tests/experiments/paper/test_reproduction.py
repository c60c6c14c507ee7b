"""What reproduce_paper.py plans, asks for and refuses."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable, Sequence

import pytest
from absl import flags
from scripts import ROOT, run_script

from common.errors import UserError
from experiments.paper.estimates import MACHINES
from experiments.paper.plan import PaperPlan, Paths
from experiments.paper.reproduction import (
    ORDER,
    ReproductionOptions,
    check_names,
    chosen_artifacts,
    missing_data,
    plan_text,
    read_paths,
    run,
)
from experiments.paper.scales import SCALES
from experiments.stages import Stage


@pytest.mark.parametrize("scale", sorted(SCALES))
def test_every_artifact_has_its_place_in_the_order(scale: str) -> None:
    assert set(chosen_artifacts(["all"], SCALES[scale])) == set(SCALES[scale].artifacts)
    wanted = ["figure10", "table1", "figure7"]
    assert list(chosen_artifacts(wanted, SCALES[scale])) == ["table1", "figure7", "figure10"]


def test_artifact_that_a_scale_lacks() -> None:
    assert "labels" in ORDER
    with pytest.raises(UserError, match="--artifact=labels is not there at this --scale"):
        chosen_artifacts(["labels"], SCALES["paper"])


def test_what_is_missing_is_named_once() -> None:
    commands = [
        ("python", "x.py", "--input_file=<texts: b>/1,real,<texts: a>", "--data_dir=<tasks: nli>"),
        ("python", "y.py", "--vocab_file=<vocab_file>", "--input_file=<texts: a>"),
    ]
    stages = [Stage(str(i), command) for i, command in enumerate(commands)]
    assert missing_data(stages) == ["tasks: nli", "texts: a", "texts: b", "vocab_file"]
    assert missing_data([Stage("x", ("python", "--x=a<b"))]) == []


@pytest.mark.parametrize(
    ("done", "hours"),
    [
        ([], ("3:00:00", "3:00:00", "6:00:00")),
        (["b"], ("1:00:00", "3:00:00", "4:00:00")),
    ],
)
def test_hours_of_the_plan(
    tmp_path: pathlib.Path, done: list[str], hours: tuple[str, str, str]
) -> None:
    """A stage that two artifacts need counts with the first; what is done counts nothing."""
    a, b, c = (Stage(name, ("x",), estimate=3600.0 * i) for i, name in enumerate("abc", 1))
    (tmp_path / "stages").mkdir()
    for name in done:
        (tmp_path / "stages" / f"{name}.done.json").write_text("{}")
    stages = {"figure5": [a, b], "figure7": [a, c]}
    text = plan_text(ReproductionOptions(output_dir=str(tmp_path)), stages, [a, b, c])
    assert f"| figure5 | 2 | 2 | {hours[0]} |" in text
    assert f"| figure7 | 2 | 1 | {hours[1]} |" in text
    assert f"| all |  | 3 | {hours[2]} |" in text
    assert f"{len(done)} commands are done." in text
    assert "Missing" not in text


def test_paths_of_the_data(tmp_path: pathlib.Path) -> None:
    assert read_paths(None) == Paths()
    path = tmp_path / "paths.json"
    path.write_text('{"vocab_file": "v.txt", "tasks": {"nli": "a/nli"}}')
    assert read_paths(str(path)) == Paths(vocab_file="v.txt", tasks={"nli": "a/nli"})


def test_dry_run_needs_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    run_script("reproduce_paper", dry_run=True, artifact="figure5")
    printed = capsys.readouterr().out
    assert "| figure5 |" in printed and "estimated hours left" in printed
    assert "Missing in --data: tasks: nli, teacher, texts: books" in printed
    assert flags.FLAGS.scale == "small"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"vocab": "v"}, 'found "vocab", expected an object with vocab_file, texts'),
        ({"teacher": {}}, 'found "teacher", expected .* are strings'),
        ([], 'found "", expected an object'),
        (
            {"texts": {"wikipedia": ["a.txt", "b.txt"]}},
            '"wikipedia" in texts is .*, expected a string',
        ),
        (
            {"students": {"tiny": "bert_tiny"}},
            '"tiny" in students: expected layers/width',
        ),
        ({"tasks": {"SST-2": "glue/SST-2"}}, 'nothing uses "SST-2" in tasks; expected .* sst-2.$'),
        ({"texts": {"wiki": "w.txt"}}, 'nothing uses "wiki" in texts; expected .* wikipedia.$'),
    ],
)
def test_data_file_of_other_content(tmp_path: pathlib.Path, content: object, message: str) -> None:
    path = tmp_path / "paths.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        run_script("reproduce_paper", data=path, dry_run=True)


def test_missing_data_is_named_before_anything_runs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "paths.json").write_text('{"vocab_file": "v.txt", "tasks": {"nli": "nli"}}')
    with pytest.raises(UserError, match="paths.json lacks teacher, texts: books, texts: movie_"):
        run_script(
            "reproduce_paper",
            data=tmp_path / "paths.json",
            artifact="figure5",
            output_dir=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_data_of_the_recipes_is_enough_for_their_commands() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    number = 0
    for data, commands in re.findall(r"```json\n(.*?)```.*?```bash\n(.*?)```", page, re.DOTALL):
        for command in re.findall(r"python reproduce_paper.py ([^#]*)", commands):
            values = dict(re.findall(r"--(\w+)=(\S+)", command))
            scale, paths = SCALES[values["scale"]], Paths(**json.loads(data))
            check_names(paths, "x.json")
            plan = PaperPlan(scale, paths, "out", "bfloat16", MACHINES["2-cores"])
            plan.add(values["artifact"], scale.artifacts[values["artifact"]])
            assert missing_data(plan.graph.stages) == []
            number += 1
    assert number == 3


def test_reports_are_written_as_soon_as_their_runs_are_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(stages: Sequence[Stage], *_: object, after_stage: Callable) -> None:
        assert [stage.name for stage in stages] == ["table1"]
        after_stage({})
        raise UserError("table1 failed")

    monkeypatch.setattr("experiments.paper.reproduction.run_stages", fail)
    options = ReproductionOptions(artifact=["table1", "table2"], output_dir=str(tmp_path))
    with pytest.raises(UserError, match="table1 failed"):
        run(options)
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"table2.md", "table2.json"}


def test_report_of_runs_with_other_flags(tmp_path: pathlib.Path) -> None:
    (tmp_path / "stages").mkdir()
    marker = {"command": ["python", "benchmark_models.py", "--x"], "inputs": {}, "seconds": 1}
    (tmp_path / "stages" / "table1.done.json").write_text(json.dumps(marker))
    options = ReproductionOptions(
        artifact=["table1"], output_dir=str(tmp_path), report_only=True, precision="float32"
    )
    with pytest.raises(UserError, match="another command than this one has for table1"):
        run(options)
    assert not (tmp_path / "results").exists()


def test_tables_without_training(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script("reproduce_paper", artifact="table4", output_dir=tmp_path / "out")
    text = (tmp_path / "out" / "results" / "table4.md").read_text()
    assert text in capsys.readouterr().out
    assert "| RTE | 2.5k | 2,490 |" in text


def test_a_part_of_the_work_that_is_none(tmp_path: pathlib.Path) -> None:
    options = {"artifact": ["table4"], "output_dir": str(tmp_path), "num_shards": 2}
    with pytest.raises(UserError, match="--shard_index=2 with --num_shards=2: expected 0 to 1"):
        run(ReproductionOptions(**options, shard_index=2))
