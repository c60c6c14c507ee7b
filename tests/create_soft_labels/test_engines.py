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
from data.tfrecords import read_sidecar, write_sidecar
from distillation.soft_labels import check_earlier_shards


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
