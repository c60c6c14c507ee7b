"""Names of devices, and the warning about a GPU that is not used; the driver is a fake."""

from __future__ import annotations

import importlib.util
import pathlib
import types
from typing import Any

import pytest
import tensorflow as tf

from common import machine
from training import devices
from training.devices import describe_devices, multiply_bfloat16, warn_of_unused_gpu


def test_a_cpu_by_name() -> None:
    text = describe_devices(tf.distribute.OneDeviceStrategy("/cpu:0"))
    assert text.startswith(machine.processor()) and text.endswith(" cores (1 replica)")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["NVIDIA A100"], "NVIDIA A100"),
        (["NVIDIA A100", "NVIDIA A100"], "2 x NVIDIA A100"),
        (["NVIDIA A100", "Tesla T4"], "NVIDIA A100, Tesla T4"),
    ],
)
def test_gpus_by_name(monkeypatch: pytest.MonkeyPatch, names: list[str], expected: str) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: names)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"device_name": gpu}
    )
    replicas = "1 replica" if len(names) == 1 else "2 replicas"
    assert describe_devices(with_gpus(len(names))) == f"{expected} ({replicas})"


def with_gpus(number: int) -> Any:
    """As much of a strategy as names of devices need."""
    extended = types.SimpleNamespace(worker_devices=("/device:GPU:0",))
    return types.SimpleNamespace(num_replicas_in_sync=number, extended=extended)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [([(8, 0)], True), ([(9, 0), (7, 5)], False), ([None], False)],
)
def test_products_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
    capabilities: list[tuple[int, int] | None],
    expected: bool,
) -> None:
    """Of all GPUs; without one, of the processor."""
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: not expected)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": gpu} if gpu else {},
    )
    assert multiply_bfloat16(with_gpus(len(capabilities))) == expected
    assert multiply_bfloat16(tf.distribute.OneDeviceStrategy("/cpu:0")) != expected


@pytest.fixture
def fake_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """An nvidia-smi on PATH, and no GPU that TensorFlow sees."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "_NVIDIA_DRIVER", str(tmp_path / "none"))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("has_cuda", "has_libraries", "remedy"),
    [
        (True, False, "pip install 'tensorflow[and-cuda]==2.20.*'"),
        (True, True, "TF_CPP_MIN_LOG_LEVEL=0"),
        (False, False, "built without CUDA"),
    ],
)
def test_a_gpu_that_is_not_used_is_a_loud_warning(
    fake_driver: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_cuda: bool,
    has_libraries: bool,
    remedy: str,
) -> None:
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: has_cuda)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: has_libraries or None)
    warn_of_unused_gpu()
    assert "WARNING: THE GPU IS NOT USED" in caplog.text
    assert "nvidia-smi" in caplog.text and remedy in caplog.text


@pytest.mark.parametrize("case", ["no driver", "a GPU", "hidden"])
def test_no_warning(
    fake_driver: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    if case == "no driver":
        monkeypatch.setattr(devices, "nvidia_driver", lambda: None)
    elif case == "a GPU":
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    warn_of_unused_gpu()
    assert not caplog.messages
