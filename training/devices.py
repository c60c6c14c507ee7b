"""Names of the devices that a run computes on, and a warning about a GPU that it does not use."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections import Counter
from typing import Any

import tensorflow as tf

from common.machine import multiplies_bfloat16, nvidia_driver, processor

# The first generation of NVIDIA's GPUs that multiplies bfloat16 (CUDA C++ Programming Guide).
_AMPERE = (8, 0)


def describe_devices(strategy: tf.distribute.Strategy) -> str:
    """Devices and number of replicas, such as "2 x NVIDIA A100-SXM4-40GB (2 replicas)"."""
    replicas = strategy.num_replicas_in_sync
    text = f"{_names(strategy)} ({replicas} replica{'s' if replicas > 1 else ''}"
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        resolver = strategy.cluster_resolver
        workers = sum(map(len, resolver.cluster_spec().as_dict().values()))
        text += f" on {workers} workers; this is {resolver.task_type} {resolver.task_id}"
    return text + ")"


def _names(strategy: tf.distribute.Strategy) -> str:
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return "TPU"
    if not has_gpus(strategy):
        return f"{processor()}, {os.cpu_count()} cores"
    counts = Counter(detail.get("device_name", "GPU") for detail in _gpu_details())
    return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())


def has_gpus(strategy: tf.distribute.Strategy) -> bool:
    return any("GPU" in device for device in strategy.extended.worker_devices)


def _gpu_details() -> list[dict[str, Any]]:
    """TensorFlow's details of each GPU of this machine."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu) for gpu in gpus]


def multiply_bfloat16(strategy: tf.distribute.Strategy) -> bool:
    """Whether the CPU or the GPUs of this process multiply bfloat16; others are slower in it."""
    if has_gpus(strategy):
        return all(gpu.get("compute_capability", (0, 0)) >= _AMPERE for gpu in _gpu_details())
    return multiplies_bfloat16()


def warn_of_unused_gpu() -> None:
    """Warns where an NVIDIA driver is installed and TensorFlow finds no GPU, and says what to do.

    A user who hides the GPUs (CUDA_VISIBLE_DEVICES is empty or -1) gets no warning.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    driver = nvidia_driver()
    if hidden or not driver or tf.config.list_physical_devices("GPU"):
        return
    if not tf.test.is_built_with_cuda():
        remedy = (
            "this TensorFlow was built without CUDA; on Linux for x86_64, "
            "pip install 'tensorflow[and-cuda]==2.20.*' brings one with it"
        )
    elif importlib.util.find_spec("nvidia") is None:
        remedy = (
            "NVIDIA's libraries are missing; install them with "
            "pip install 'tensorflow[and-cuda]==2.20.*'"
        )
    else:
        remedy = (
            "NVIDIA's libraries are installed, so either the driver is older than they need or "
            "one of them cannot be loaded; with TF_CPP_MIN_LOG_LEVEL=0 in front of the same command, "
            "TensorFlow says which"
        )
    rule = "*" * 100
    logging.warning(
        "%s\nWARNING: THE GPU IS NOT USED. There is an NVIDIA driver (%s), but TensorFlow finds no "
        "GPU and computes on the CPU:\n%s (docs/devices.md).\nCUDA_VISIBLE_DEVICES=-1 chooses the "
        "CPU without this warning.\n%s",
        rule,
        driver,
        remedy,
        rule,
    )
