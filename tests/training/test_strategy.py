"""Devices and workers, as far as one process can tell; jobs of several are in test_distributed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from training import strategy as strategies
from training.options import DeviceOptions
from training.strategy import (
    any_worker,
    check_batch_size,
    chief_first,
    chief_value,
    create_strategy,
    distribute,
    explain_lost_worker,
    is_chief,
    is_single_worker,
    lengths_may_vary,
)

ALONE = tf.distribute.OneDeviceStrategy("/device:CPU:0")


class Replicas:
    """A number of devices."""

    def __init__(self, number: int):
        self.num_replicas_in_sync = number


def test_the_only_process_is_the_chief() -> None:
    strategy = create_strategy(DeviceOptions())
    assert is_single_worker(strategy) and is_chief(strategy) and lengths_may_vary(strategy)
    assert strategy.num_replicas_in_sync == len(tf.config.list_logical_devices("CPU"))
    assert chief_value(strategy, 7) == 7
    is_any = any_worker(strategy)
    assert (is_any(True), is_any(False)) == (True, False)
    with chief_first(strategy) as chief:
        assert chief


def test_data_of_one_device_are_not_touched() -> None:
    batches = tf.data.Dataset.range(6).batch(2)
    assert distribute(batches, ALONE) is batches


@pytest.mark.parametrize("static", [True, False])
def test_each_replica_has_its_part_of_the_rows(static: bool) -> None:
    x = tf.reshape(tf.range(12), [6, 2])

    def parts(x: tf.Tensor) -> tf.Tensor:
        found = strategies._rows_of_replicas(x, 3)
        assert found.shape.as_list() == [3, 2 if static else None, 2]
        return found

    spec = tf.TensorSpec([6 if static else None, 2], tf.int32)
    found = tf.function(parts, input_signature=[spec])(x)
    np.testing.assert_array_equal(found, np.arange(12).reshape(3, 2, 2))


@pytest.mark.parametrize(("batch_size", "replicas", "parts"), [(8, 1, 1), (8, 4, 2), (24, 4, 3)])
def test_batches_that_can_be_divided(batch_size: int, replicas: int, parts: int) -> None:
    check_batch_size("train_batch_size", batch_size, Replicas(replicas), parts)


@pytest.mark.parametrize(("batch_size", "replicas", "parts"), [(8, 3, 1), (8, 4, 3), (12, 8, 1)])
def test_batches_that_cannot(batch_size: int, replicas: int, parts: int) -> None:
    message = f"--some_flag={batch_size} .* use a multiple of {replicas * parts}"
    with pytest.raises(UserError, match=message):
        check_batch_size("some_flag", batch_size, Replicas(replicas), parts)


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "does not describe a cluster .*JSONDecodeError"),
        ({"cluster": WORKERS}, "does not describe .*KeyError: 'task'"),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}, "IndexError"),
        ({"cluster": WORKERS, "task": {"type": "ps", "index": 0}}, "KeyError: 'ps'"),
        (
            {"cluster": {**WORKERS, "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}},
            "has tasks of the types ps, worker; only worker",
        ),
    ],
)
def test_cluster_that_is_none(monkeypatch: pytest.MonkeyPatch, content: Any, message: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"^TF_CONFIG.*{message}"):
        create_strategy(DeviceOptions())


def test_a_lost_worker_is_explained() -> None:
    """Where there are others; an error of a single process is its own."""
    error = tf.errors.UnavailableError(None, None, "gone")
    with pytest.raises(tf.errors.UnavailableError), explain_lost_worker(ALONE):
        raise error
    # Not connected to anything.
    kind = tf.distribute.MultiWorkerMirroredStrategy
    several = kind.__new__(kind)
    assert not is_single_worker(several)
    with (
        pytest.raises(UserError, match="another worker of the job has ended"),
        explain_lost_worker(several),
    ):
        raise error
    with pytest.raises(ValueError, match="another"), explain_lost_worker(several):
        raise ValueError("another")
