"""Description of the machine, for measurements and for the start of a run."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil

_NVIDIA_DRIVER = "/proc/driver/nvidia/version"
# Linux's names for such instructions (cpufeatures.h of x86, cpuinfo.c of arm64).
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def describe_machine() -> str:
    """Number of cores, processor and Python version, in a few words."""
    return f"{os.cpu_count()} cores, {processor()}, Python {platform.python_version()}"


def processor() -> str:
    """The processor's name, such as "AMD EPYC 7B12"."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products in bfloat16; False where it is not known.

    They are AVX-512 BF16 and AMX on x86, BF16 on Arm.
    """
    found = f"{_cpu_info('flags')} {_cpu_info('Features')}".split()
    return not _BFLOAT16.isdisjoint(found)


def _cpu_info(name: str) -> str:
    """The first line of /proc/cpuinfo with this name; empty where there is none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return ""


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


def resident_bytes(pid: int) -> int:
    """Memory of a process and its descendants now; pages that they share count for each (Linux).

    The kernel's own maximum (`ru_maxrss`) begins with the memory of the process that forked.
    """
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            total = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
    except OSError:  # It has just ended.
        return 0
    return total + sum(resident_bytes(int(child)) for child in children)
