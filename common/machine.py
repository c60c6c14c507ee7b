"""Description of the machine, for measurements and for the start of a run."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil

_NVIDIA_DRIVER = "/proc/driver/nvidia/version"


def describe_machine() -> str:
    """Number of cores, processor and Python version, in a few words."""
    return f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}"


def processor() -> str:
    """The processor's name, such as "AMD EPYC 7B12"."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def nvidia_driver() -> str | None:
    """The file that shows that an NVIDIA driver is installed; None without a driver."""
    if os.path.exists(_NVIDIA_DRIVER):
        return _NVIDIA_DRIVER
    return shutil.which("nvidia-smi") or ctypes.util.find_library("cuda")
