"""A job of several scripts in one process, on virtual CPU replicas or as a worker of TF_CONFIG.

python tests/distributed_job.py '{"replicas": 2, "scripts": [["run_classifier", {"...": "..."}]]}'
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def tf_configs(count: int) -> list[str]:
    """TF_CONFIG of each worker of a cluster on this machine."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}})
        for i in range(count)
    ]


def start(
    command: list[str], log: pathlib.Path, tf_config: str | None = None
) -> subprocess.Popen[bytes]:
    """Starts a process whose output goes to a file."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    if tf_config:
        environment["TF_CONFIG"] = tf_config
    with open(log, "wb") as output:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=HERE.parent,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def start_job(
    scripts: list[tuple[str, dict[str, Any]]],
    log: pathlib.Path,
    replicas: int = 1,
    tf_config: str | None = None,
) -> subprocess.Popen[bytes]:
    job = json.dumps({"replicas": replicas, "scripts": scripts}, default=str)
    return start([str(pathlib.Path(__file__).resolve()), job], log, tf_config)


def main(job: dict[str, Any]) -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import tensorflow as tf
    from scripts import run_script

    import training.options
    import training.strategy
    from training.cli import configure_logging

    configure_logging()
    if job["replicas"] > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * job["replicas"]
        tf.config.set_logical_device_configuration(cpu, parts)
    # The connections of a worker are made once in the life of a process.
    create = functools.partial(training.strategy.create_strategy, training.options.DeviceOptions())
    only_strategy = functools.cache(create)
    training.strategy.create_strategy = lambda _: only_strategy()
    for name, values in job["scripts"]:
        run_script(name, **values)
        # The next script reads what the chief has written.
        training.strategy.chief_value(only_strategy(), 0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
