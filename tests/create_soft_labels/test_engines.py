"""Soft labels by other runtimes than TensorFlow: the same labels, and not mixed with others."""

from __future__ import annotations

import json
import logging
import pathlib
from typing import Any

import numpy as np
import pytest
from runs import contents, read_set
from scripts import run_script

from common.errors import UserError
from data.sidecars import read_sidecar, write_sidecar
from distillation.soft_labels import check_earlier_shards, recorded_engines
from serving import engine_choice


@pytest.fixture(scope="module")
def by_tensorflow(
    options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("labels") / "out"
    run_script("create_soft_labels", **options, engine="tensorflow", output_dir=folder)
    return folder


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("int8", 0.3)])
def test_labels_are_those_of_tensorflow(
    options: dict[str, Any],
    by_tensorflow: pathlib.Path,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    precision: str,
    tolerance: float,
) -> None:
    pytest.importorskip("onnxruntime")
    caplog.set_level(logging.INFO)
    flags = {**options, "engine": "onnxruntime", "precision": precision}
    run_script("create_soft_labels", **flags, output_dir=tmp_path)
    expected, found = read_set(by_tensorflow), read_set(tmp_path)
    np.testing.assert_allclose(found["teacher_logits"], expected["teacher_logits"], atol=tolerance)
    for name in ("input_ids", "example_id", "has_label"):
        np.testing.assert_array_equal(found[name], expected[name])
    manifest = json.loads((tmp_path / "soft_labels.json").read_text())
    assert (manifest["engine"], manifest["precision"]) == ("onnxruntime", precision)
    assert f"Engine: onnxruntime in {precision}; on the first " in caplog.text


def test_another_engine_begins_anew_only_if_it_is_told_to(
    options: dict[str, Any], by_tensorflow: pathlib.Path
) -> None:
    pytest.importorskip("onnxruntime")
    before = contents(by_tensorflow)
    flags = {**options, "engine": "onnxruntime", "output_dir": by_tensorflow}
    message = "was made with engine = tensorflow, this run has onnxruntime; .* --start_over"
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **flags)
    assert contents(by_tensorflow) == before


def test_shards_of_earlier_versions_are_tensorflow_s(by_tensorflow: pathlib.Path) -> None:
    shard = str(by_tensorflow / "soft_labels-00000.tfrecord")
    now = read_sidecar(shard)
    assert now
    write_sidecar(shard, {name: value for name, value in now.items() if name != "engine"})
    try:
        check_earlier_shards(str(by_tensorflow), {"engine": "tensorflow"})
        with pytest.raises(UserError, match="made with engine = tensorflow, this run has litert"):
            check_earlier_shards(str(by_tensorflow), {"engine": "litert"})
    finally:
        write_sidecar(shard, now)


@pytest.mark.parametrize("layers", [None, "1"])
def test_auto_goes_on_with_what_it_chose(
    options: dict[str, Any],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    layers: str | None,
) -> None:
    """On a processor that multiplies bfloat16 it is begun, and on another one it is ended."""
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(engine_choice.BOUNDS, "bfloat16", 1.0)
    more = {} if layers is None else {"hidden_state_layers": layers}
    flags = {**options, **more, "precision": "auto", "output_dir": tmp_path}
    monkeypatch.setattr("training.devices.multiplies_bfloat16", lambda: True)
    run_script("create_soft_labels", **flags)
    assert "Engine: tensorflow in bfloat16" in caplog.text
    whole = contents(tmp_path)
    monkeypatch.setattr("training.devices.multiplies_bfloat16", lambda: False)
    (tmp_path / "soft_labels-00001.tfrecord").unlink()
    run_script("create_soft_labels", **flags)
    assert f"Engine: tensorflow in bfloat16, as in the soft labels of {tmp_path}" in caplog.text
    assert contents(tmp_path) == whole
    manifest = json.loads((tmp_path / "soft_labels.json").read_text())
    assert (manifest["precision"], manifest["flags"]["precision"]) == ("bfloat16", "auto")
    with pytest.raises(UserError, match="made with precision = bfloat16, this run has float32"):
        run_script("create_soft_labels", **{**flags, "precision": "float32"})
    run_script("create_soft_labels", **flags, start_over=True)
    assert json.loads((tmp_path / "soft_labels.json").read_text())["precision"] == "float32"


@pytest.mark.parametrize(
    ("engine", "precision", "num_teachers", "expected"),
    [
        ("a", "float32", 1, [("a", "float32")]),
        ("a", "float32", 3, [("a", "float32")] * 3),
        ("a, b", "float32", 2, [("a", "float32"), ("b", "float32")]),
        ("a, b", "float32, int8", 2, [("a", "float32"), ("b", "int8")]),
        ("a, b", "float32", 3, []),
    ],
)
def test_engines_of_several_teachers(
    tmp_path: pathlib.Path,
    engine: str,
    precision: str,
    num_teachers: int,
    expected: list[tuple[str, str]],
) -> None:
    assert recorded_engines(str(tmp_path), num_teachers) == []
    (tmp_path / "x.tfrecord").touch()
    write_sidecar(str(tmp_path / "x.tfrecord"), {"engine": engine, "precision": precision})
    assert recorded_engines(str(tmp_path), num_teachers) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"hidden_state_layers": "1", "engine": "onnxruntime"},
            "--engine=onnxruntime --precision=float32: --hidden_state_layers are computed by Tensor",
        ),
        ({"hidden_state_layers": "1", "precision": "int8"}, "--engine=auto --precision=int8: "),
        ({"engine": "openvino", "precision": "int8"}, "engine=openvino computes in float32 or bfl"),
    ],
)
def test_refused(
    options: dict[str, Any], tmp_path: pathlib.Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_script("create_soft_labels", **options, **changes, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
