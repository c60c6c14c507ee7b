"""Options of Apache Beam, and what happens where it is not installed."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

import numpy as np
import pytest
from scripts import run_script

from common.beam import (
    BeamOptions,
    parse_options,
    read_arrays,
    run_pipeline,
    spread,
    work_folder,
    write_arrays,
)
from common.errors import UserError

HAS_BEAM = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="needs Apache Beam: requirements-beam.lock")


@pytest.mark.parametrize("script", ["create_pretraining_data", "create_transfer_set"])
def test_what_to_install(
    script: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    paths = {name: tmp_path / name for name in ("input_file", "output_file", "vocab_file")}
    if script == "create_transfer_set":
        del paths["vocab_file"]
    with pytest.raises(UserError, match="Beam, which is not .* -r requirements-beam.lock`"):
        run_script(script, **paths, beam_runner="DirectRunner")
    assert not list(tmp_path.iterdir())


def test_options_without_a_runner(tmp_path: pathlib.Path) -> None:
    flags = {"input_file": tmp_path / "a.txt", "output_file": tmp_path / "b.txt"}
    with pytest.raises(
        UserError, match="--beam_options=--project=x has no effect without --beam_runner"
    ):
        run_script("create_transfer_set", **flags, beam_options="--project=x")


@needs_beam
def test_options_are_quoted_like_a_command() -> None:
    options = parse_options("DirectRunner", "--project='a b' --direct_num_workers 2")
    assert options.arguments == ("--project=a b", "--direct_num_workers", "2")
    found = options.pipeline_options().get_all_options()
    assert (found["project"], found["direct_num_workers"]) == ("a b", 2)
    # Not the one that Beam would download.
    assert found["runner"] == "FnApiRunner"


@needs_beam
@pytest.mark.parametrize(
    ("runner", "arguments", "message"),
    [
        ("NoRunner", "", "--beam_runner=NoRunner: .*NoRunner"),
        ("no.such.Runner", "", "--beam_runner=no.such.Runner: .*no"),
        ("DirectRunner", "--project='a", "--beam_options: No closing quotation"),
        ("DirectRunner", "project=a", '--beam_options: found "project=a", expected options'),
        ("DirectRunner", "--direct_num_workers=x", "--beam_options: .*direct_num_workers.*'x'"),
    ],
)
def test_bad_options(
    runner: str, arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=message):
        parse_options(runner, arguments)
    assert capsys.readouterr().err == ""


@needs_beam
def test_what_a_runner_needs_is_one_line() -> None:
    message = "^--beam_runner=DataflowRunner: .*Missing required option: region.*$"
    with pytest.raises(UserError, match=message):
        run_pipeline(_divide_by_zero, BeamOptions("DataflowRunner"), "")


@needs_beam
def test_a_fault_of_a_stage_is_not_taken_for_one_of_the_user() -> None:
    with pytest.raises(ZeroDivisionError, match="while running 'Divide'"):
        run_pipeline(_divide_by_zero, BeamOptions("DirectRunner"), "")


@needs_beam
@pytest.mark.parametrize("interruption", [SystemExit(143), KeyboardInterrupt()])
def test_signals_end_the_run_as_they_do_elsewhere(interruption: BaseException) -> None:
    import apache_beam as beam

    def interrupt(_: int) -> None:
        raise interruption

    def build(pipeline: Any) -> dict[str, Any]:
        return {"out": pipeline | beam.Create([1]) | beam.Map(interrupt)}

    with pytest.raises(type(interruption)) as found:
        run_pipeline(build, BeamOptions("DirectRunner"), "")
    assert found.value.args == interruption.args


def _divide_by_zero(pipeline: Any) -> dict[str, Any]:
    import apache_beam as beam

    return {"out": pipeline | beam.Create([1]) | "Divide" >> beam.Map(lambda number: number / 0)}


@needs_beam
def test_collections_come_back_sorted(tmp_path: pathlib.Path) -> None:
    def build(pipeline: Any) -> dict[str, Any]:
        pairs = spread(pipeline, "Pairs", [(2, "b"), (1, "a")])
        return {"pairs": pairs, "none": spread(pipeline, "None", [])}

    found = run_pipeline(build, BeamOptions("DirectRunner"), str(tmp_path))
    assert found == {"pairs": [[1, "a"], [2, "b"]], "none": []}


def test_arrays(tmp_path: pathlib.Path) -> None:
    arrays = [np.arange(3), np.zeros(0, np.uint8), np.array([[1, 2]], np.int32)]
    write_arrays(str(tmp_path / "arrays"), arrays)
    for found, expected in zip(read_arrays(str(tmp_path / "arrays")), arrays, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_work_folder_goes_when_it_is_left(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no"), work_folder("") as folder:
        (pathlib.Path(folder) / "file").write_text("x")
        assert pathlib.Path(folder).parent == tmp_path
        raise ValueError("no")
    assert not list(tmp_path.iterdir())
