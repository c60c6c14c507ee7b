"""What the programs whose speed is measured take and return; JAX runs them."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from accelerator_rows import CONFIG, LENGTH, PREDICTIONS

from benchmarks.accelerator.export import Setting, folder_name
from benchmarks.accelerator.speed_programs import write_speed_programs
from benchmarks.report import OURS
from common.errors import UserError
from common.files import read_json

MODEL = folder_name(CONFIG)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("programs")
    write_speed_programs(str(folder), CONFIG, Setting(4, LENGTH, PREDICTIONS, "float32"))
    return folder


def test_an_update_changes_all_weights_and_predictions_none(programs: pathlib.Path) -> None:
    for loop in ("pretraining", "finetuning"):
        described = read_json(str(programs / f"{loop}-{MODEL}" / "program.json"))
        update = described["programs"]["update.mlir"]
        assert set(described["model_variables"]) < set(update["updated"])
        assert update["results"]["loss"] == update["results"]["gradient_norm"] == []
    described = read_json(str(programs / f"labelling-{MODEL}" / "program.json"))
    assert list(described["batch"]) == ["input_ids", "input_mask", "segment_ids"]
    predictions = described["programs"]["predictions.mlir"]
    assert predictions["results"] == {"logits": [4, 2]} and not predictions["updated"]


def test_speed(programs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("jax", reason="no JAX: pip install -r requirements-tpu.lock")
    from benchmarks.accelerator import speed

    options = speed.SpeedOptions(
        programs=str(programs),
        loops=["labelling", "finetuning"],
        models=[MODEL],
        rounds=1,
        seconds_per_round=0.01,
        max_seconds=100.0,
        torch_compile=False,
        output_dir=str(tmp_path),
    )
    speed.run(options)
    values = read_json(str(tmp_path / "speed.json"))
    assert [group["name"] for group in values["groups"]] == [
        f"{loop} {MODEL}" for loop in ("labelling", "finetuning")
    ]
    first = [group["results"][0] for group in values["groups"]]
    assert all(result["name"] == OURS and result["rates"][0] > 0 for result in first)
    assert not values["missing"]
    assert "| ours |" in (tmp_path / "speed.md").read_text()
    # Programs of another kind, as `benchmarks.accelerator.export` names their folders.
    (tmp_path / "2-128").mkdir()
    with pytest.raises(UserError, match=r"has no folder of labelling, finetuning .* only 2-128"):
        speed.run(
            dataclasses.replace(options, programs=str(tmp_path), output_dir=str(tmp_path / "out"))
        )
