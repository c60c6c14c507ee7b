"""The scripts on several replicas and on several workers, beside one device."""

from __future__ import annotations

import pathlib
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from distributed_job import start, tf_configs
from runs import metrics, results, saved_steps, weights
from scripts import ROOT, run_script

from distillation.soft_labels import feature_spec
from experiments.fork_server import ForkedProcess, ForkServer

LENGTH = 16
# Each replica draws its own, so nothing could be compared.
NO_DROPOUT = {
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout": 0.0,
}
# Seconds; only a process that hangs takes as long.
TIME_LIMIT = 900.0


@pytest.fixture(scope="module")
def pretraining(
    write_config: Callable[..., str], records_file: str, vocab_file: str
) -> dict[str, Any]:
    return {
        "bert_config_file": write_config(**NO_DROPOUT, num_hidden_layers=1),
        "vocab_file": vocab_file,
        "input_file": records_file,
        "max_seq_length": 24,
        "max_predictions_per_seq": 4,
        "train_batch_size": 12,
        "learning_rate": 1e-3,
        "num_train_steps": 6,
        "num_warmup_steps": 2,
        "log_steps": 2,
        "do_train": True,
    }


@pytest.fixture(scope="module")
def scripts(
    pretraining: dict[str, Any], task_dir: str, transfer_file: str
) -> Callable[[pathlib.Path], list[tuple[str, dict[str, Any]]]]:
    """Folder -> a chain of all scripts, whose numbers of rows no batch size divides."""

    def chain(out: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
        text = {"max_seq_length": LENGTH}
        task = {"task_name": "SST-2", "data_dir": task_dir}
        training = {
            **text,
            "train_batch_size": 12,
            "eval_batch_size": 8,
            "predict_batch_size": 8,
            "learning_rate": 1e-3,
            "log_steps": 3,
            "num_train_epochs": 0.5,
            "do_train": True,
            "do_eval": True,
            "do_predict": True,
            "gradient_accumulation_steps": 3,
        }
        fresh = {key: pretraining[key] for key in ("bert_config_file", "vocab_file")}
        return [
            (
                "run_pretraining",
                {**pretraining, "do_eval": True, "eval_batch_size": 18, "output_dir": out / "p"},
            ),
            (
                "run_classifier",
                {**task, **training, "init_checkpoint": out / "p", "output_dir": out / "c"},
            ),
            (
                "create_soft_labels",
                {
                    **text,
                    "init_checkpoint": out / "c",
                    "input_file": transfer_file,
                    "examples_per_shard": 83,
                    "predict_batch_size": 16,
                    "output_dir": out / "s",
                },
            ),
            (
                "run_distill",
                {
                    **task,
                    **training,
                    **fresh,
                    "input_file": f"{out}/s/*.tfrecord",
                    "eval_file": f"{out}/s/*.tfrecord",
                    "output_dir": out / "d",
                    "gradient_accumulation_steps": 1,
                    "evaluate_steps": 4,
                },
            ),
        ]

    return chain


@pytest.fixture(scope="module")
def one_device(
    scripts: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("one")
    for name, values in scripts(folder):
        run_script(name, **values)
    return folder


def finish(process: ForkedProcess, log: pathlib.Path) -> str:
    """Waits for a process to succeed; its output."""
    assert wait(process, log) == 0, log.read_text()
    return log.read_text()


def wait(process: ForkedProcess, log: pathlib.Path) -> int:
    end = time.monotonic() + TIME_LIMIT
    while (status := process.poll()) is None:
        assert time.monotonic() < end, f"still running:\n{log.read_text()}"
        time.sleep(0.02)
    return status


def files(folder: pathlib.Path) -> set[str]:
    """Names in a folder and its subfolders, but for the events, whose names hold a time."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in names if "events.out" not in name}


def num_events(folder: pathlib.Path) -> int:
    return len(list(folder.rglob("events.out*")))


def soft_labels(folder: pathlib.Path) -> dict[str, np.ndarray]:
    spec = {**feature_spec(LENGTH, ["0", "1"]), "example_id": tf.io.FixedLenFeature([], tf.string)}
    paths = sorted(map(str, folder.glob("*.tfrecord")))
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    return {name: x.numpy() for name, x in tf.io.parse_example(serialized, spec).items()}


def assert_same_outputs(
    found: pathlib.Path, expected: pathlib.Path, folders: tuple[str, ...] = ("p", "c", "s", "d")
) -> None:
    assert sorted(path.name for path in found.iterdir()) == sorted(folders)
    trained = [folder for folder in folders if folder != "s"]
    for folder in folders:
        assert files(found / folder) == files(expected / folder)
        assert num_events(found / folder) == num_events(expected / folder)
    for run in trained:
        for name, value in weights(expected / run).items():
            other = weights(found / run)[name]
            np.testing.assert_allclose(other, value, atol=2e-5, err_msg=f"{run} {name}")
        for kind in ("train", "eval"):
            lines, others = metrics(expected / run, kind), metrics(found / run, kind)
            assert len(others) == len(lines) > 0
            for line, other in zip(lines, others, strict=True):
                assert line.pop("kind") == other.pop("kind")
                assert other == pytest.approx(line, rel=1e-4, abs=1e-5)
        assert results(found / run) == pytest.approx(results(expected / run), rel=1e-4, abs=1e-5)
    for run in trained[1:]:
        tables = [np.loadtxt(path / run / "test_results.tsv") for path in (found, expected)]
        assert tables[0].shape == (37, 2)
        np.testing.assert_allclose(*tables, atol=2e-5)
    labels, expected_labels = soft_labels(found / "s"), soft_labels(expected / "s")
    assert len(labels["example_id"]) == 150
    for name, value in expected_labels.items():
        if name == "teacher_logits":
            np.testing.assert_allclose(labels[name], value, atol=1e-4)
        else:
            np.testing.assert_array_equal(labels[name], value)


def test_two_replicas_do_what_one_device_does(
    fork_server: ForkServer,
    one_device: pathlib.Path,
    scripts: Callable[..., Any],
    tmp_path: pathlib.Path,
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    # Distillation goes through the loop of the classifier; two workers have it below.
    chain = [script for script in scripts(out) if script[0] != "run_distill"]
    output = finish(start(fork_server, log, scripts=chain, replicas=2), log)
    assert "(2 replicas)." in output
    assert_same_outputs(out, one_device, ("p", "c", "s"))


def test_two_workers_do_what_one_device_does(
    fork_server: ForkServer,
    one_device: pathlib.Path,
    scripts: Callable[..., Any],
    tmp_path: pathlib.Path,
) -> None:
    out, logs = tmp_path / "out", [tmp_path / "chief", tmp_path / "worker"]
    workers = [
        start(fork_server, log, scripts=scripts(out), tf_config=tf_config)
        for log, tf_config in zip(logs, tf_configs(2), strict=True)
    ]
    for worker, log in zip(workers, logs, strict=True):
        output = finish(worker, log)
        assert "(2 replicas on 2 workers; this is worker " in output
    assert_same_outputs(out, one_device)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chief", "out", "worker"]


def test_workers_read_files_of_their_own(
    fork_server: ForkServer, pretraining: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """Two copies of the records, one for each: a batch is one of half the size, twice."""
    records = [tmp_path / f"records-{i}.tfrecord" for i in range(2)]
    for path in records:
        shutil.copy(pretraining["input_file"], path)
    options = {**pretraining, "input_file": f"{tmp_path}/records-*", "shard_files": True}
    workers, logs = start_workers(fork_server, options, tmp_path / "out", "worker")
    alone = {**pretraining, "train_batch_size": 6, "output_dir": tmp_path / "alone"}
    run_script("run_pretraining", **alone)
    for worker, log in zip(workers, logs, strict=True):
        finish(worker, log)
    for name, value in weights(tmp_path / "alone").items():
        np.testing.assert_allclose(weights(tmp_path / "out")[name], value, atol=2e-5, err_msg=name)


def start_workers(
    server: ForkServer, options: dict[str, Any], out: pathlib.Path, attempt: str
) -> tuple[list[ForkedProcess], list[pathlib.Path]]:
    command = [str(ROOT / "run_pretraining.py"), *(f"--{k}={v}" for k, v in options.items())]
    command.append(f"--output_dir={out}")
    logs = [out.parent / f"{attempt}{i}" for i in range(2)]
    workers = [
        start(server, log, command=command, tf_config=tf_config)
        for log, tf_config in zip(logs, tf_configs(2), strict=True)
    ]
    return workers, logs


def wait_for_a_state(
    out: pathlib.Path, workers: list[ForkedProcess], logs: list[pathlib.Path]
) -> None:
    """Until the running workers have saved another state."""
    before = saved_steps(out)
    deadline = time.monotonic() + TIME_LIMIT
    while saved_steps(out)[-1:] == before[-1:]:
        running = all(worker.poll() is None for worker in workers)
        assert running and time.monotonic() < deadline, [log.read_text() for log in logs]
        time.sleep(0.02)


def test_lost_or_terminated_worker_ends_the_job_and_a_restart_goes_on(
    fork_server: ForkServer, pretraining: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    options = {**pretraining, "num_train_steps": 60, "save_checkpoints_steps": 5}
    out = tmp_path / "out"
    for killed in (1, 0):
        workers, logs = start_workers(fork_server, options, out, f"killed{killed}-")
        wait_for_a_state(out, workers, logs)
        workers[killed].send_signal(signal.SIGKILL)
        log = logs[1 - killed]
        assert wait(workers[1 - killed], log) == 1, log.read_text()
        assert "ERROR: another worker of the job has ended" in log.read_text()
        assert "Traceback" not in log.read_text()
        assert not (out / "bert_model.ckpt.index").exists()

    # SIGTERM to one of them ends the job as it ends a single process: nothing is computed again.
    workers, logs = start_workers(fork_server, options, out, "terminated-")
    wait_for_a_state(out, workers, logs)
    workers[1].send_signal(signal.SIGTERM)
    for worker, log in zip(workers, logs, strict=True):
        assert wait(worker, log) == 143, log.read_text()
        assert "Terminated; run the same command again" in log.read_text()
        assert "Traceback" not in log.read_text()

    workers, logs = start_workers(fork_server, options, out, "last-")
    run_script("run_pretraining", **options, output_dir=tmp_path / "whole")
    for worker, log in zip(workers, logs, strict=True):
        finish(worker, log)
    assert "Continuing from" in logs[0].read_text()
    for name, value in weights(tmp_path / "whole").items():
        np.testing.assert_allclose(weights(out)[name], value, atol=2e-4, err_msg=name)
