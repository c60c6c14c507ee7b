"""Engines beside TensorFlow: the same logits, or a refusal that says why."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from models import random_model

from common.errors import UserError
from modeling.bert import INPUTS
from serving import cpu_engines
from serving.cpu_engines import (
    AUTO,
    BFLOAT16,
    FLOAT32,
    INT8,
    RUNTIMES,
    TENSORFLOW,
    Choice,
    Program,
    Runtime,
    compare,
)

CPU = tf.distribute.OneDeviceStrategy("/cpu:0")


def forward_of(model: Any) -> cpu_engines.Forward:
    network = model.network()
    return lambda batch: network({name: tf.constant(batch[name]) for name in INPUTS}).numpy()


@pytest.mark.parametrize(
    ("engine", "precision", "tolerance"),
    [
        ("onnxruntime", FLOAT32, 1e-5),
        ("onnxruntime", INT8, 0.3),
        ("openvino", FLOAT32, 1e-5),
        ("openvino", BFLOAT16, 0.1),
        ("litert", FLOAT32, 1e-5),
        ("litert", INT8, 0.3),
    ],
)
@pytest.mark.parametrize(
    ("hidden_act", "labels"),
    [("gelu", ("bad", "fine", "good")), ("gelu_erf", ("bad", "good")), ("gelu", ())],
)
def test_logits_are_those_of_tensorflow(
    odd_vocab_file: str,
    padded_batch: dict[str, np.ndarray],
    engine: str,
    precision: str,
    tolerance: float,
    hidden_act: str,
    labels: tuple[str, ...],
) -> None:
    """Texts and pairs of any length, in batches of any size; a regression has no labels."""
    for package in RUNTIMES[engine].packages:
        pytest.importorskip(package)
    model = random_model(odd_vocab_file, labels, hidden_act)
    if precision == BFLOAT16:
        core = pytest.importorskip("openvino").Core()
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this processor does not multiply bfloat16")
    forward = RUNTIMES[engine].open(Program(model.config, model.weights, 1), precision)
    expected = forward_of(model)(padded_batch)
    for rows, length in ((4, 11), (2, 5), (1, 1), (4, 11)):
        cut = {name: value[:rows, :length] for name, value in padded_batch.items()}
        found = forward(cut)
        assert found.dtype == np.float32
        if length == 11:
            np.testing.assert_allclose(found, expected, atol=tolerance)
        else:
            np.testing.assert_allclose(found, forward_of(model)(cut), atol=tolerance)


def test_agreement() -> None:
    logits = np.array([[0, 0], [0, 2], [3, 0]], np.float32)
    same = compare(logits, logits + 5)
    assert (same.rows, same.equal) == (3, 1)
    assert same.difference == pytest.approx(0, abs=1e-6) and same.holds(FLOAT32)
    other = compare(logits, logits * np.array([[1], [-1], [1]]))
    assert other.equal == pytest.approx(2 / 3)
    assert other.difference == pytest.approx(2 / (1 + np.exp(-2)) - 1)
    scores = np.array([[100.0], [50.0]], np.float32)
    assert compare(scores, scores + 1).difference == pytest.approx(0.01)
    assert not compare(logits, logits * np.nan).holds(INT8)


def test_rows_that_are_compared(padded_batch: dict[str, np.ndarray]) -> None:
    """The first, and not too many."""
    sample = cpu_engines._sample({name: value[:3] for name, value in padded_batch.items()})
    assert {value.shape for value in sample.values()} == {(3, 11)}
    for num_rows, length, expected in ((5000, 100, 120), (5000, 10, 400), (2, 13_000, 1)):
        many = {name: np.ones([num_rows, length], np.int32) for name in INPUTS}
        assert cpu_engines._sample(many)["input_ids"].shape == (expected, length)


def fake(difference: float | Exception, precisions: tuple[str, ...], package: str) -> Runtime:
    """A runtime whose second logit differs from that of `plain`, or that cannot be opened."""

    def forward(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return plain(batch) + np.array([0, difference], np.float32)

    def open_(program: Program, precision: str) -> cpu_engines.Forward:
        if isinstance(difference, Exception):
            raise difference
        return forward

    return Runtime((package,), f"-e '.[{package}]'", precisions, open_)


def plain(batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """The answers of TensorFlow."""
    return np.tile(np.array([1, 0], np.float32), (len(batch["input_ids"]), 1))


@pytest.fixture
def runtimes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Runtime]:
    """In their order: one that is not installed, a broken, an inexact, a good one, and a slower."""
    found = {
        "absent": fake(0, (FLOAT32, BFLOAT16, INT8), "no_such_package"),
        "broken": fake(RuntimeError("illegal\ninstruction"), (FLOAT32,), "json"),
        "inexact": fake(0.9, (FLOAT32, INT8), "json"),
        "good": fake(1e-4, (FLOAT32, INT8), "json"),
        "slow": fake(0, (FLOAT32, INT8), "json"),
    }
    monkeypatch.setattr(cpu_engines, "RUNTIMES", found)
    monkeypatch.setattr(cpu_engines, "ENGINES", (AUTO, TENSORFLOW, *found))
    fastest = {
        precision: [name for name, runtime in found.items() if precision in runtime.precisions]
        for precision in cpu_engines.FASTEST
    }
    monkeypatch.setattr(cpu_engines, "FASTEST", fastest)
    return found


def settled(engine: str, precision: str, batch: Mapping[str, np.ndarray]) -> Choice:
    choice = Choice(engine, precision, CPU)
    forward = choice.settle(lambda: None, plain, batch)  # type: ignore[arg-type, return-value]
    assert (forward is None) == (choice.settled == (TENSORFLOW, choice.model_precision))
    return choice


@pytest.mark.parametrize(
    ("without", "precision", "expected", "line"),
    [
        (
            (),
            FLOAT32,
            ("good", FLOAT32),
            r"Engine: good in float32, the fastest that .* \(broken .*\) \(inexact .*\); on ",
        ),
        (("good",), INT8, ("slow", INT8), "Engine: slow in int8, the fastest"),
        (("good", "slow"), FLOAT32, (TENSORFLOW, FLOAT32), "tensorflow in float32; broken cannot"),
        (("good", "slow"), INT8, (TENSORFLOW, FLOAT32), "inexact in int8 is not exact enough for"),
        (
            (),
            BFLOAT16,
            (TENSORFLOW, BFLOAT16),
            r"no faster one is .* bfloat16 \(pip .*no_such_package",
        ),
    ],
)
def test_auto_takes_the_fastest_that_is_exact_enough(
    runtimes: dict[str, Runtime],
    padded_batch: dict[str, np.ndarray],
    caplog: pytest.LogCaptureFixture,
    without: tuple[str, ...],
    precision: str,
    expected: tuple[str, str],
    line: str,
) -> None:
    caplog.set_level(logging.INFO)
    for name in without:
        runtimes[name] = runtimes["absent"]
    assert settled(AUTO, precision, padded_batch).settled == expected
    (record,) = caplog.records
    assert re.search(line, record.message), record.message
    assert "\n" not in record.message


def test_tensorflow_computes_on_other_devices(
    runtimes: dict[str, Runtime],
    padded_batch: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(cpu_engines, "_is_one_cpu", lambda strategy: False)
    assert settled(AUTO, BFLOAT16, padded_batch).settled == (TENSORFLOW, BFLOAT16)
    assert "tensorflow in bfloat16; others compute on the CPU of one process" in caplog.text
    with pytest.raises(UserError, match="engine=good computes on the CPU of one process, but the "):
        Choice("good", FLOAT32, CPU)


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("absent", FLOAT32, r"engine=absent needs the package no_such_package; install it \(pip"),
        ("good", BFLOAT16, "engine=good computes in float32 or int8, found precision=bfloat16"),
        ("broken", FLOAT32, r"broken cannot compute this model in float32 \(illegal\); take"),
        (
            "inexact",
            FLOAT32,
            "inexact in float32 is not exact enough for this model: on the first 4 rows it differs "
            r"from TensorFlow in float32 by 0.21 at most, and 100 % of .* where 0.001 and 99 % are",
        ),
        (
            TENSORFLOW,
            INT8,
            "engine=tensorflow computes in float32 or bfloat16, found precision=int8",
        ),
        ("nothing", FLOAT32, "found engine=nothing and precision=float32, expected one of auto, "),
    ],
)
def test_refusals(
    runtimes: dict[str, Runtime],
    padded_batch: dict[str, np.ndarray],
    engine: str,
    precision: str,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        settled(engine, precision, padded_batch)


def test_int8_without_an_engine(runtimes: dict[str, Runtime]) -> None:
    for name in ("inexact", "good", "slow"):
        runtimes[name] = runtimes["absent"]
    with pytest.raises(UserError, match=r"int8 is computed by .*pip install ai-edge-litert"):
        Choice(AUTO, INT8, CPU)
