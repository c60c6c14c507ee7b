"""Processes of tests with several replicas or workers, forked from one that has TensorFlow.

A job is several scripts in one process, on virtual CPU replicas or as a worker of TF_CONFIG:
python tests/distributed_job.py '{"replicas": 2, "scripts": [["run_classifier", {"...": "..."}]]}'
A worker is one script as its user starts it:
python tests/distributed_job.py '{"command": ["run_pretraining.py", "--..."], "tf_config": "..."}'
"""

from __future__ import annotations

import json
import os
import pathlib
import runpy
import socket
import sys
from typing import Any

from experiments.fork_server import ForkedProcess, ForkServer

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


def start(server: ForkServer, log: pathlib.Path, **job: Any) -> ForkedProcess:
    """Starts a process, described as above, whose output goes to a file."""
    program = str(pathlib.Path(__file__).resolve())
    return server.start([sys.executable, program, json.dumps(job, default=str)], str(log))


def main(job: dict[str, Any]) -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    if tf_config := job.get("tf_config"):
        os.environ["TF_CONFIG"] = tf_config
    if command := job.get("command"):
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")
        return
    import tensorflow as tf
    from scripts import run_script

    import training.options
    import training.strategy
    from training.cli import configure_logging

    configure_logging()
    if job.get("replicas", 1) > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * job["replicas"]
        tf.config.set_logical_device_configuration(cpu, parts)
    strategy = training.strategy.create_strategy(training.options.DeviceOptions())
    for name, values in job["scripts"]:
        run_script(name, **values)
        # The next script reads what the chief has written.
        training.strategy.chief_value(strategy, 0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
