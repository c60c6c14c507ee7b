"""Runs that are killed again and again end as those that were left alone.

KILLS in the environment is the number of SIGKILLs per run (1 without it), KILL_SEED draws the times.
"""

from __future__ import annotations

import os
import pathlib
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from runs import assert_same_folders, saved_steps
from scripts import ROOT, run_script

from checkpoints.model_folder import write_model_folder
from checkpoints.weights import variable_values
from experiments.fork_server import ForkedProcess, ForkServer
from modeling.config import load_config
from modeling.heads import ClassifierModel

KILLS = int(os.environ.get("KILLS", "1"))
# Updates of the training runs.
NUM_STEPS = 48 if KILLS == 1 else 120
SEED = int(os.environ.get("KILL_SEED", "0"))
# Longer than any run here on a busy machine (seconds).
_DEADLINE = 900

pytestmark = pytest.mark.slow


class Script:
    """A script with its flags, in processes of its own."""

    def __init__(self, server: ForkServer, name: str, log: pathlib.Path, **flags: Any):
        arguments = [f"--{flag}={value}" for flag, value in flags.items()]
        self._command = [sys.executable, str(ROOT / f"{name}.py"), *arguments]
        self._server, self.log = server, log

    def start(self) -> ForkedProcess:
        return self._server.start(self._command, str(self.log))

    def finish(self) -> float:
        """Runs it to its end; returns how long it took."""
        begin, process = time.monotonic(), self.start()
        while process.poll() is None:
            assert time.monotonic() - begin < _DEADLINE, self.log.read_text()[-3000:]
            time.sleep(0.02)
        assert process.returncode == 0, self.log.read_text()[-3000:]
        return time.monotonic() - begin


def kill(process: ForkedProcess) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def killed_and_finished(
    script: Script, folder: pathlib.Path, num_steps: int, seconds: float
) -> None:
    """A training run that is killed `KILLS` times before it may end.

    A third of the kills come at any time after the start, the others when the run has got a little
    further, within a few steps of that; none later than its share of the steps allows, so that the
    run does not end before the last one.

    Args:
      script: The run.
      folder: Its --output_dir.
      num_steps: Updates of the run.
      seconds: How long it takes when it is left alone.
    """
    rng = random.Random(SEED)
    goal = 0

    def wait(step: int, longest: float) -> None:
        end = time.monotonic() + longest
        while max(saved_steps(folder), default=0) < step and time.monotonic() < end:
            time.sleep(0.005)

    for i in range(KILLS):
        process = script.start()
        share = int(num_steps * (i + 1) / (KILLS + 1))
        if rng.random() < 1 / 3:
            wait(share, rng.uniform(0, seconds / 2))
        else:
            goal = max(goal, int(num_steps * (i + rng.random()) / (KILLS + 1)))
            wait(goal, _DEADLINE)
            wait(share, rng.uniform(0, seconds / 20))
        assert process.poll() is None, script.log.read_text()[-3000:]
        kill(process)
    script.finish()


def test_pretraining(
    fork_server: ForkServer, pretraining_flags: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    flags = {
        **pretraining_flags,
        "gradient_accumulation_steps": 2,
        "learning_rate": 5e-3,
        "num_warmup_steps": 2,
        "num_train_steps": NUM_STEPS,
        "save_checkpoints_steps": 3,
        "evaluate_steps": NUM_STEPS // 3,
        "max_eval_steps": 3,
        "log_steps": 10,
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def run(folder: pathlib.Path) -> Script:
        return Script(fork_server, "run_pretraining", tmp_path / "log", **flags, output_dir=folder)

    begin = time.monotonic()
    run_script("run_pretraining", **flags, output_dir=whole)
    killed_and_finished(run(killed), killed, NUM_STEPS, time.monotonic() - begin)
    assert_same_folders(whole, killed)


@pytest.fixture
def soft_labels(
    write_config: Callable[..., str], vocab_file: str, transfer_file: str, tmp_path: pathlib.Path
) -> str:
    """150 texts in two shards, labelled by random weights."""
    config = load_config(write_config(num_hidden_layers=1))
    values = variable_values(ClassifierModel(config, 2).trainable_variables)
    write_model_folder(str(tmp_path / "teacher"), values, config, vocab_file, {})
    run_script(
        "create_soft_labels",
        init_checkpoint=tmp_path / "teacher",
        labels="0,1",
        input_file=transfer_file,
        max_seq_length=24,
        examples_per_shard=80,
        output_dir=tmp_path / "soft_labels",
    )
    return str(tmp_path / "soft_labels")


def test_distillation(
    fork_server: ForkServer,
    write_config: Callable[..., str],
    soft_labels: str,
    task_dir: str,
    vocab_file: str,
    tmp_path: pathlib.Path,
) -> None:
    flags = {
        "input_file": f"{soft_labels}/*.tfrecord",
        "bert_config_file": write_config(num_hidden_layers=1),
        "vocab_file": vocab_file,
        "task_name": "SST-2",
        "data_dir": task_dir,
        "max_seq_length": 24,
        "train_batch_size": 16,
        "learning_rate": 5e-3,
        # 150 examples in batches of 16.
        "num_train_epochs": NUM_STEPS * 16 / 150,
        "save_checkpoints_steps": 3,
        "evaluate_steps": NUM_STEPS // 3,
        "log_steps": 10,
        "do_train": True,
        "do_eval": True,
        "do_predict": True,
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def run(folder: pathlib.Path) -> Script:
        return Script(fork_server, "run_distill", tmp_path / "log", **flags, output_dir=folder)

    begin = time.monotonic()
    run_script("run_distill", **flags, output_dir=whole)
    killed_and_finished(run(killed), killed, NUM_STEPS, time.monotonic() - begin)
    assert_same_folders(whole, killed)


def test_data_creation(
    fork_server: ForkServer, corpus_file: str, vocab_file: str, tmp_path: pathlib.Path
) -> None:
    flags: dict[str, Any] = {
        "input_file": corpus_file,
        "vocab_file": vocab_file,
        "max_seq_length": 24,
        "max_predictions_per_seq": 4,
        "dupe_factor": 40,
        "num_processes": 2,
    }

    def into(folder: str) -> Script:
        files = [str(tmp_path / folder / name) for name in ("a.tfrecord", "b.tfrecord")]
        return Script(
            fork_server,
            "create_pretraining_data",
            tmp_path / "log",
            **flags,
            output_file=",".join(files),
        )

    seconds = into("whole").finish()
    rng = random.Random(SEED)
    for _ in range(KILLS):
        process = into("killed").start()
        time.sleep(rng.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
        # A record file has its name only when it is complete.
        for path in (tmp_path / "killed").glob("*.tfrecord"):
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
    into("killed").finish()
    assert_same_folders(tmp_path / "whole", tmp_path / "killed")
