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


def peak_bytes(pid: int) -> int | None:
    """The most memory that a process has had; None if it has ended, or where there is no /proc.

    `serving/runtime/measure.py`, which is shipped without this project, asks the same of itself.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            found = dict(line.split(":", 1) for line in file)
    except OSError:
        return None
    # The kernel's kB are of 1024 bytes; a process that has just ended has no such line.
    return int(found["VmHWM"].split()[0]) * 1024 if "VmHWM" in found else None
