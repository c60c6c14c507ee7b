"""The engine that is taken, or a refusal that says why."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf

import training.flags
from common.errors import UserError
from modeling.bert import INPUTS
from serving import engine_choice
from serving.cpu_engines import BFLOAT16, FLOAT32, INT8, Program, Runtime
from serving.engine_choice import (
    AUTO,
    MIN_ROWS,
    TENSORFLOW,
    ChosenEngine,
    Outputs,
    check_engine,
    compare_logits,
    compare_values,
)
from training.engine import Forward

CPU = tf.distribute.OneDeviceStrategy("/cpu:0")
# TensorFlow's in bfloat16 where a test does not say another.
ROUNDING = 0.01


def test_agreement() -> None:
    logits = np.array([[0, 0], [0, 2], [3, 0]], np.float32)
    same = compare_logits([logits[:2], logits[2:]], [logits[:2] + 5, logits[2:]])
    assert (same.rows, same.equal) == (3, 1)
    assert same.difference == pytest.approx(0, abs=1e-6) and same.holds(FLOAT32)
    other = compare_logits([logits], [logits * np.array([[1], [-1], [1]])])
    assert other.equal == pytest.approx(2 / 3)
    assert other.difference == pytest.approx(2 / (1 + np.exp(-2)) - 1)
    scores = np.array([[100.0], [50.0]], np.float32)
    assert compare_logits([scores], [scores + 1]).difference == pytest.approx(0.01)
    assert not compare_logits([logits], [logits * np.nan]).holds(INT8)


def test_agreement_of_vectors() -> None:
    """Beside the largest number, or 1; batches may have different lengths."""
    vectors = [np.full([2, 3, 4], 0.5, np.float32), np.full([1, 5, 4], -8, np.float32)]
    found = compare_values(vectors, [vectors[0] + 0.4, vectors[1]])
    assert (found.rows, found.equal) == (3, 1)
    assert found.difference == pytest.approx(0.05)
    assert compare_values(vectors[:1], [vectors[0] + 0.4]).difference == pytest.approx(0.4)


def test_rows_that_are_compared(padded_batch: dict[str, np.ndarray]) -> None:
    """The first, and not too many."""
    sample = engine_choice._sample({name: value[:3] for name, value in padded_batch.items()})
    assert {value.shape for value in sample.values()} == {(3, 11)}
    for num_rows, length, expected in ((5000, 100, 120), (5000, 10, 400), (2, 13_000, 1)):
        many = {name: np.ones([num_rows, length], np.int32) for name in INPUTS}
        assert engine_choice._sample(many)["input_ids"].shape == (expected, length)


def answering(difference: float) -> Forward:
    """Answers whose second logit differs from TensorFlow's in float32."""

    def forward(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.tile(np.array([1, difference], np.float32), (len(batch["input_ids"]), 1))

    return forward


def fake(difference: float | Exception, precisions: tuple[str, ...], package: str) -> Runtime:
    """A runtime of such answers, or one that cannot be opened."""

    def open_(program: Program, precision: str) -> Forward:
        if isinstance(difference, Exception):
            raise difference
        return answering(difference)

    return Runtime((package,), f"-e '.[{package}]'", precisions, open_)


@pytest.fixture(autouse=True)
def multiplies_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.devices.multiplies_bfloat16", lambda: True)


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
    use(found, monkeypatch)
    return found


def use(found: dict[str, Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts these in the place of all runtimes."""
    monkeypatch.setattr(engine_choice, "RUNTIMES", found)
    monkeypatch.setattr(engine_choice, "ENGINES", (AUTO, TENSORFLOW, *found))
    fastest = {
        precision: [name for name, runtime in found.items() if precision in runtime.precisions]
        for precision in engine_choice.FASTEST
    }
    monkeypatch.setattr(engine_choice, "FASTEST", fastest)


def choice_of(
    engine: str,
    precision: str,
    batch: Mapping[str, np.ndarray],
    num_rows: int = MIN_ROWS,
    rounding: float = ROUNDING,
) -> tuple[str, str]:
    """Name and precision of the engine, whose answers are then those of a call."""
    check_engine(engine, precision, CPU)
    of_precision = {FLOAT32: 0.0, BFLOAT16: rounding}
    outputs = Outputs(
        lambda precision: answering(of_precision[precision]),
        compare_logits,
        lambda: None,  # type: ignore[arg-type, return-value]
    )
    chosen = ChosenEngine(outputs, engine, precision, CPU, 2)
    chosen.choose(batch, num_rows)
    assert chosen.choice
    if chosen.choice[0] == TENSORFLOW:
        assert chosen(batch)[:, 1] == pytest.approx(of_precision[chosen.choice[1]])
    return chosen.choice


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
    assert choice_of(AUTO, precision, padded_batch) == expected
    (record,) = caplog.records
    assert re.search(line, record.message), record.message
    assert "\n" not in record.message


def test_auto_opens_no_other_engine_for_few_rows(
    padded_batch: dict[str, np.ndarray],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is named is opened for any number, and int8 has no other."""
    caplog.set_level(logging.INFO)
    use({"good": fake(0, (FLOAT32, BFLOAT16, INT8), "json")}, monkeypatch)
    few = MIN_ROWS - 1
    assert choice_of(AUTO, FLOAT32, padded_batch, few) == (TENSORFLOW, FLOAT32)
    assert f"tensorflow in float32; other engines are used for {MIN_ROWS} rows or " in caplog.text
    assert choice_of(AUTO, BFLOAT16, padded_batch, few) == (TENSORFLOW, BFLOAT16)
    assert choice_of(AUTO, AUTO, padded_batch, few) == (TENSORFLOW, BFLOAT16)
    assert choice_of(AUTO, FLOAT32, padded_batch, MIN_ROWS) == ("good", FLOAT32)
    assert choice_of("good", FLOAT32, padded_batch, 1) == ("good", FLOAT32)
    assert choice_of(AUTO, INT8, padded_batch, 1) == ("good", INT8)


@pytest.mark.parametrize("difference", [0.9, UserError("not on this processor")])
def test_tensorflow_computes_as_asked_for_where_no_other_engine_does(
    padded_batch: dict[str, np.ndarray],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    difference: float | Exception,
) -> None:
    caplog.set_level(logging.INFO)
    use({"fast": fake(difference, (FLOAT32, BFLOAT16), "json")}, monkeypatch)
    assert choice_of(AUTO, BFLOAT16, padded_batch) == (TENSORFLOW, BFLOAT16)
    assert re.search("tensorflow in bfloat16; .*not (exact|on this)", caplog.text)
    assert choice_of(AUTO, FLOAT32, padded_batch) == (TENSORFLOW, FLOAT32)


def test_the_rows_of_the_first_call_choose_the_engine(
    padded_batch: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the first; later ones do not change it."""
    use({"good": fake(1e-4, (FLOAT32,), "json")}, monkeypatch)
    monkeypatch.setattr(engine_choice, "MIN_ROWS", 3)
    outputs = Outputs(lambda _: answering(0), compare_logits, lambda: None)  # type: ignore[arg-type, return-value]
    few = {name: value[:2] for name, value in padded_batch.items()}
    for first, expected in ((few, TENSORFLOW), (padded_batch, "good")):
        chosen = ChosenEngine(outputs, AUTO, FLOAT32, CPU, 2)
        for batch in (first, padded_batch, few):
            assert len(chosen(batch)) == len(batch["input_ids"])
            assert chosen.choice == (expected, FLOAT32)


@pytest.mark.parametrize(
    ("engine", "fast", "rounding", "expected", "line"),
    [
        (
            AUTO,
            (1e-2, BFLOAT16),
            ROUNDING,
            ("fast", BFLOAT16),
            "fast in bfloat16, the fastest .*; ",
        ),
        (
            AUTO,
            (0.9, BFLOAT16),
            ROUNDING,
            (TENSORFLOW, BFLOAT16),
            r"Engine: tensorflow in bfloat16 \(fast in bfloat16 is not exact .*\); on the first 4 r",
        ),
        (
            AUTO,
            (0.9, BFLOAT16),
            0.9,
            (TENSORFLOW, FLOAT32),
            "Engine: tensorflow in float32; fast in bfloat16 is not .*; tensorflow in bfloat16 is n",
        ),
        (AUTO, (1e-4, FLOAT32), 0.9, ("fast", FLOAT32), r"\(tensorflow in bfloat16 is not exact"),
        ("fast", (1e-2, BFLOAT16), ROUNDING, ("fast", BFLOAT16), "fast in bfloat16; on the first"),
        ("fast", (1e-4, FLOAT32), ROUNDING, ("fast", FLOAT32), "Engine: fast in float32; on the f"),
        (
            TENSORFLOW,
            (0, BFLOAT16),
            ROUNDING,
            (TENSORFLOW, BFLOAT16),
            "in bfloat16; on the first 4",
        ),
        (
            TENSORFLOW,
            (0, BFLOAT16),
            0.9,
            (TENSORFLOW, FLOAT32),
            "in float32; tensorflow in bfloat16 is not exact enough for this model: .* 0.21 at most",
        ),
    ],
)
def test_precision_is_chosen_by_what_it_changes(
    padded_batch: dict[str, np.ndarray],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    fast: tuple[float, str],
    rounding: float,
    expected: tuple[str, str],
    line: str,
) -> None:
    """bfloat16 is taken only where its answers are close to float32's; never int8."""
    caplog.set_level(logging.INFO)
    difference, precision = fast
    use({"fast": fake(difference, (precision, INT8), "json")}, monkeypatch)
    assert choice_of(engine, AUTO, padded_batch, rounding=rounding) == expected
    (record,) = caplog.records
    assert re.search(line, record.message), record.message


@pytest.mark.parametrize("engine", [AUTO, TENSORFLOW, "fast"])
@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("training.devices.multiplies_bfloat16", lambda: False, "not multiplied by these dev"),
        ("serving.engine_choice.is_single_worker", lambda _: False, "of one process alone"),
    ],
)
def test_devices_where_auto_is_float32(
    padded_batch: dict[str, np.ndarray],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    place: str,
    value: object,
    line: str,
) -> None:
    caplog.set_level(logging.INFO)
    use({"fast": fake(0, (FLOAT32, BFLOAT16), "json")}, monkeypatch)
    monkeypatch.setattr(place, value)
    if engine == "fast" and "worker" in place:
        pytest.skip("it is refused there")
    assert choice_of(engine, AUTO, padded_batch)[1] == FLOAT32
    (record,) = caplog.records
    assert re.search(f"in float32.*bfloat16 .*{line}", record.message), record.message


def test_tensorflow_computes_on_other_devices(
    runtimes: dict[str, Runtime],
    padded_batch: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(engine_choice, "_is_one_cpu", lambda strategy: False)
    assert choice_of(AUTO, BFLOAT16, padded_batch) == (TENSORFLOW, BFLOAT16)
    assert "tensorflow in bfloat16; others compute on the CPU of one process" in caplog.text
    with pytest.raises(UserError, match="engine=good computes on the CPU of one process, but the "):
        check_engine("good", FLOAT32, CPU)


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("absent", FLOAT32, r"engine=absent needs the package no_such_package; install it \(pip"),
        ("good", BFLOAT16, "engine=good computes in float32 or int8, found precision=bfloat16"),
        ("broken", FLOAT32, r"broken cannot compute this model in float32 \(illegal\); take"),
        ("broken", AUTO, r"broken cannot compute this model in float32 \(illegal\); take"),
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
        choice_of(engine, precision, padded_batch)


def test_int8_without_an_engine(runtimes: dict[str, Runtime]) -> None:
    for name in ("inexact", "good", "slow"):
        runtimes[name] = runtimes["absent"]
    with pytest.raises(UserError, match=r"int8 is computed by .*pip install ai-edge-litert"):
        check_engine(AUTO, INT8, CPU)


def test_flag_offers_the_engines_there_are() -> None:
    """The flag's list is one of its own, so that `--help` need not import the runtimes' module."""
    assert set(engine_choice.ENGINES) == {AUTO, *training.flags.ENGINES}
