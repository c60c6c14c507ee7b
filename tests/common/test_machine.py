"""The description of the machine."""

from __future__ import annotations

import builtins
import io
import os
import pathlib
import resource
import shutil
import subprocess
import sys
from typing import Any

import pytest

from common import machine


def test_name_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = "processor\t: 0\nmodel name\t: Some CPU: 3 GHz\nmodel name\t: another\n"
    monkeypatch.setattr(builtins, "open", lambda *_, **__: io.StringIO(cpuinfo))
    assert machine.processor() == "Some CPU: 3 GHz"


def test_name_where_the_system_has_no_such_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(builtins, "open", fail)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert machine.processor() == "arm64"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 vaes\n", True),
        ("flags : amx_tile amx_bf16\n", True),
        ("Features\t: fp asimd i8mm bf16 dgh\n", True),
        ("flags : avx512f avx512_vnni\nbugs : avx512_bf16\n", False),
        ("", False),
    ],
)
def test_products_in_bfloat16(monkeypatch: pytest.MonkeyPatch, lines: str, expected: bool) -> None:
    monkeypatch.setattr(builtins, "open", lambda *_, **__: io.StringIO(f"model name: x\n{lines}"))
    assert machine.multiplies_bfloat16() == expected


def test_description(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr(machine, "processor", lambda: "a CPU")
    monkeypatch.setattr("platform.python_version", lambda: "3.11.9")
    assert machine.describe_machine() == "3 cores, a CPU, Python 3.11.9"


def test_driver_of_a_gpu(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "version"
    monkeypatch.setattr(machine, "_NVIDIA_DRIVER", str(driver))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    assert machine.nvidia_driver() is None
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.1")
    assert machine.nvidia_driver() == "libcuda.so.1"
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert machine.nvidia_driver() == "/bin/nvidia-smi"
    driver.touch()
    assert machine.nvidia_driver() == str(driver)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
def test_peak_memory_of_a_process() -> None:
    """The kernel's own figure for this process is in kB of 1024 bytes."""
    expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert machine.peak_bytes(os.getpid()) == pytest.approx(expected, rel=0.05)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert machine.peak_bytes(ended.pid) is None


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")
def test_memory_of_a_process_and_its_children() -> None:
    alone = machine.resident_bytes(os.getpid())
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()  # Python runs in it.
        assert machine.resident_bytes(child.pid) > 1e6
        assert machine.resident_bytes(os.getpid()) > alone
        child.communicate(b"\n")
    assert machine.resident_bytes(child.pid) == 0
