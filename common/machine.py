"""Description of the machine, for measurements."""

from __future__ import annotations

import os
import platform


def describe_machine() -> str:
    """Number of cores, processor and Python version, in a few words."""
    return f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
