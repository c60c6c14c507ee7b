"""The jobs for clusters give each of their workers its TF_CONFIG and one command."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from typing import Any

import pytest
import yaml
from scripts import ROOT

# Stands in for Python: says with which TF_CONFIG and arguments a worker was called.
PYTHON = """#!/bin/sh
echo "$TF_CONFIG" | tr -d '\\n'; echo "|$@"
"""
SCONTROL = """#!/bin/sh
test "$1 $2 $3" = "show hostnames node[1-2]" && printf 'node1\\nnode2\\n'
"""
SRUN = """#!/bin/sh
for i in 0 1; do SLURM_PROCID=$i "$@"; done
"""


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> pathlib.Path:
    for name, text in (("python", PYTHON), ("scontrol", SCONTROL), ("srun", SRUN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def workers(
    programs: pathlib.Path, command: list[str], **environment: str
) -> list[tuple[dict[str, Any], str]]:
    """TF_CONFIG and command line of each call of Python."""
    path = f"{programs}:{os.environ['PATH']}"
    shown = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("|") for line in shown.stdout.splitlines()]
    return [(json.loads(config), call) for config, call in lines]


def config(hosts: list[str], index: int) -> dict[str, Any]:
    return {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}


def test_slurm(programs: pathlib.Path) -> None:
    flags = ["--input_file=/shared/a b*", "--output_dir=/shared/small"]
    called = workers(
        programs,
        ["bash", "examples/slurm.sh", *flags],
        PYTHON=str(programs / "python"),
        SLURM_JOB_NODELIST="node[1-2]",
    )
    command = "run_pretraining.py --do_train --input_file=/shared/a b* --output_dir=/shared/small"
    hosts = ["node1:12345", "node2:12345"]
    assert called == [(config(hosts, 0), command), (config(hosts, 1), command)]


def test_kubernetes(programs: pathlib.Path) -> None:
    service, job = yaml.safe_load_all((ROOT / "examples" / "kubernetes.yaml").read_text())
    pods = job["spec"]["template"]["spec"]
    (container,) = pods["containers"]
    (variable,) = container["env"]
    number = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == number == int(variable["value"])
    name = job["metadata"]["name"]
    assert pods["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    (port,) = container["ports"]
    hosts = [f"{name}-{i}.{pods['subdomain']}:{port['containerPort']}" for i in range(number)]
    for index in (0, number - 1):
        environment = {variable["name"]: variable["value"], "JOB_COMPLETION_INDEX": str(index)}
        ((found, call),) = workers(programs, container["command"], **environment)
        assert found == config(hosts, index)
        assert call.startswith("run_pretraining.py --do_train --input_file=/data/records* ")
