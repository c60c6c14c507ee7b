"""The groups of a comparison and their contestants; nothing is measured."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks import loops
from benchmarks.contestants import Contestant, Result
from benchmarks.inputs import CompareOptions
from benchmarks.loops import DECISIVE, Comparison, deciding_options, run
from common.errors import UserError

GIVEN: dict[str, Any] = {
    "loops": ["pretraining", "finetuning"],
    "sizes": ["tiny", "2/256"],
    "classifier_sizes": ["tiny"],
    "teacher_sizes": ["base"],
    "precisions": ["bfloat16", "float32"],
    "dupe_factors": ["1", "5"],
    "torch_compile": True,
    "batch_size": 8,
    "model_garden_python": "",
    "flax_python": "",
    "keras_hub_python": "",
    "hugging_face_python": "hf/python",
    "original_python": "",
    "original_dir": "",
    "rounds": 1,
    "timeout_seconds": 1.0,
    "group_seconds": 1.0,
}


@pytest.fixture
def measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> dict[str, Sequence[Contestant]]:
    """Last group of contestants that was to be measured; each is as fast as its name is long."""
    seen: dict[str, Sequence[Contestant]] = {}

    def run_rounds(contestants: Sequence[Contestant], *_: Any) -> list[Result]:
        seen["contestants"] = contestants
        names = [contestant.result.name for contestant in contestants]
        return [Result(name, [float(len(name))]) for name in names]

    monkeypatch.setattr(loops, "run_rounds", run_rounds)
    for name in ("pretraining_rows", "classifier_rows"):
        monkeypatch.setattr(CompareOptions, name, f"{name}.npz")
    return seen


def options(folder: pathlib.Path, **changes: Any) -> CompareOptions:
    given: dict[str, Any] = dict.fromkeys(CompareOptions.__dataclass_fields__)
    return CompareOptions(**{**given, **GIVEN, "output_dir": str(folder), **changes})


def flags(server: Contestant) -> dict[str, str]:
    pairs = (a.removeprefix("--").partition("=") for a in server._command if a.startswith("--"))
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize(
    ("asked", "groups"),
    [
        (["pretraining", "ceilings"], ["pretraining tiny", "pretraining 2/256", "ceilings"]),
        (["data"], ["data dupe 1", "data dupe 5"]),
        (["distillation"], ["distillation tiny"]),
        (["labelling"], ["labelling sentences base", "labelling reviews base"]),
    ],
)
def test_groups(tmp_path: pathlib.Path, asked: list[str], groups: list[str]) -> None:
    assert list(Comparison(options(tmp_path, loops=asked)).groups()) == groups


def test_pretraining_of_all_contestants(
    measured: dict[str, Sequence[Contestant]], tmp_path: pathlib.Path
) -> None:
    group = Comparison(options(tmp_path)).pretraining("tiny")
    hugging_face = ("Hugging Face, eager", "Hugging Face, torch.compile")
    names = ("ours", "Model Garden", "Keras Hub", *hugging_face)
    contestants = measured["contestants"]
    assert [c.result.name for c in contestants] == [
        f"{name}, {precision}" for name in names for precision in ("bfloat16", "float32")
    ]
    found = [flags(c) for c in contestants]
    assert all(f["model"] == "2,128" and f["batch_size"] == "8" for f in found)
    # Tiny has 4.4 million weights, a ninth of those that get a batch; peers get an eighth of ours.
    assert [f["batches"] for f in found] == ["9"] * 4 + ["1"] * 6
    assert [f.get("compile") for f in found] == [None] * 8 + ["1"] * 2
    assert group.flops_per_unit and group.unit == "tokens"


def test_distillation_is_beside_our_fine_tuning(
    measured: dict[str, Sequence[Contestant]], tmp_path: pathlib.Path
) -> None:
    """Model Garden has none."""
    Comparison(options(tmp_path, torch_compile=False)).classifier("distillation", "tiny")
    found = [(c.result.who, flags(c)["loop"]) for c in measured["contestants"]]
    assert list(dict.fromkeys(found)) == [
        ("ours", "distillation"),
        ("our fine-tuning", "finetuning"),
        ("JAX", "distillation"),
        ("Hugging Face", "distillation"),
    ]


def test_finished_groups_are_not_measured_again(
    measured: dict[str, Sequence[Contestant]],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = options(tmp_path, loops=["finetuning", "pretraining"], sizes=["tiny"])
    run(asked)
    first = json.loads((tmp_path / "comparison.json").read_text())["groups"]
    assert [group["name"] for group in first] == ["finetuning tiny", "pretraining tiny"]
    assert (tmp_path / "comparison.md").read_text() in capsys.readouterr().out
    (tmp_path / "finetuning_tiny.json").unlink()
    measured.clear()
    run(asked)
    assert {flags(c)["loop"] for c in measured["contestants"]} == {"finetuning"}
    assert json.loads((tmp_path / "comparison.json").read_text())["groups"] == first


def test_a_group_without_measurements_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
    measured: dict[str, Sequence[Contestant]],
    tmp_path: pathlib.Path,
) -> None:
    problem = Result("ours, bfloat16", problem="cannot run")
    monkeypatch.setattr(loops, "run_rounds", lambda *_, **__: [problem])
    asked = options(tmp_path, loops=["pretraining"], sizes=["1/128"])
    run(asked)
    assert "cannot run" in (tmp_path / "comparison.md").read_text()
    assert not (tmp_path / "pretraining_1-128.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"batch_size": 9},
            "finetuning_tiny.json was measured with --batch_size=8, this run has 9",
        ),
        ({"rounds": 2}, "with --rounds=1, this run has 2; choose another --output_dir"),
        ({"machine": "7 cores"}, "measured on a machine of .*, this run is on one of 7 cores"),
    ],
)
def test_groups_of_other_options_are_not_taken(
    measured: dict[str, Sequence[Contestant]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    change: dict[str, Any],
    message: str,
) -> None:
    run(options(tmp_path, loops=["finetuning"]))
    measured.clear()
    if machine := change.pop("machine", None):
        monkeypatch.setattr(loops, "describe_machine", lambda: machine)
    with pytest.raises(UserError, match=message):
        run(options(tmp_path, loops=["ceilings", "finetuning"], **change))
    assert not measured


def test_options_of_other_groups_change_nothing(
    measured: dict[str, Sequence[Contestant]], tmp_path: pathlib.Path
) -> None:
    run(options(tmp_path, loops=["finetuning"]))
    measured.clear()
    run(options(tmp_path, loops=["finetuning"], sizes=["base"], text_megabytes=9.0, teacher="t"))
    assert not measured


def test_a_group_that_does_not_say_how_it_was_measured_is_measured_again(
    measured: dict[str, Sequence[Contestant]], tmp_path: pathlib.Path
) -> None:
    """Those of earlier versions."""
    asked = options(tmp_path, loops=["finetuning"])
    run(asked)
    path = tmp_path / "finetuning_tiny.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in stored.items() if k != "options"}))
    measured.clear()
    run(asked)
    assert measured and json.loads(path.read_text()) == stored


def test_every_option_decides_or_chooses_groups() -> None:
    choosing = {"loops", "sizes", "classifier_sizes", "teacher_sizes", "dupe_factors", "output_dir"}
    given: Any = dict.fromkeys(CompareOptions.__dataclass_fields__)
    deciding = {
        name for loop in DECISIVE for name in deciding_options(loop, CompareOptions(**given))
    }
    assert deciding == set(given) - choosing
