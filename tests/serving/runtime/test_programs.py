"""Exported programs of all runtimes give one answer."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

from serving import Predictor
from serving.runtime.programs import _without_notes, open_program, softmax

# Two rows of padded ids, of which the second is a word shorter.
IDS = np.array([[2, 9, 10, 3], [2, 9, 3, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], np.int32)
SEGMENTS = np.zeros_like(IDS)


def test_errors_of_a_runtime_are_not_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    with _without_notes():
        os.write(2, b"INFO: Created a delegate.\nERROR: no such file\n")
    assert capfd.readouterr().err == "ERROR: no such file\n"


def test_softmax() -> None:
    logits = np.random.default_rng(0).normal(scale=300, size=(3, 4, 5))
    np.testing.assert_allclose(softmax(logits), special.softmax(logits, axis=-1), rtol=1e-12)


def test_files_that_are_no_programs(tmp_path: pathlib.Path) -> None:
    """No runtime is imported for them."""
    (tmp_path / "model.tflit").touch()
    with pytest.raises(ValueError, match="model.tflit is no .tflite or .onnx file and no folder"):
        open_program(str(tmp_path / "model.tflit"))
    for name in ("no.tflite", "no.onnx", "no"):
        with pytest.raises(ValueError, match=f"there is no .*{name}"):
            open_program(str(tmp_path / name))


def test_rows_that_are_too_long_for_static_shapes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    class Interpreter:
        def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
            return {f"len_{length}": {"outputs": ["score"]} for length in (2, 4)}

        def get_signature_runner(self, name: str) -> Callable[..., dict[str, np.ndarray]]:
            return lambda **inputs: {"score": inputs["input_ids"]}

    monkeypatch.setattr("serving.runtime.programs.open_interpreter", lambda *_, **__: Interpreter())
    (tmp_path / "x.tflite").touch()
    program = open_program(str(tmp_path / "x.tflite"))
    assert program.longest == 4
    np.testing.assert_array_equal(program(IDS, MASK, SEGMENTS), IDS)
    np.testing.assert_array_equal(program(IDS[:, :3], MASK[:, :3], SEGMENTS[:, :3])[:, 3], [0, 0])
    longer = np.ones([1, 5], np.int32)
    with pytest.raises(ValueError, match=r"x.tflite takes rows of 4 tokens at most, found 5"):
        program(longer, longer, longer)


@pytest.mark.parametrize(
    ("path", "tolerance"),
    [
        ("model_float32.tflite", 1e-5),
        ("onnx/model.onnx", 1e-5),
        ("saved_model/1", 1e-5),
        ("model_dynamic_int8.tflite", 0.2),
        ("onnx/model_quantized.onnx", 0.2),
    ],
)
def test_answers(shipped: pathlib.Path, review_student: str, path: str, tolerance: float) -> None:
    program = open_program(str(shipped / path), threads=1)
    inputs = {"input_ids": IDS, "input_mask": MASK, "segment_ids": SEGMENTS}
    logits = Predictor.load(review_student).logits(inputs)
    expected = special.softmax(logits, axis=1)
    found = program(IDS, MASK, SEGMENTS)
    assert program.longest is None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance)
    # A row alone, without its padding, is the same row.
    alone = program(IDS[1:, :3], MASK[1:, :3], SEGMENTS[1:, :3])
    np.testing.assert_allclose(alone, found[1:], atol=tolerance)
