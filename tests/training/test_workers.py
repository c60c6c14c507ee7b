"""Workers that wait for each other, in threads on this machine."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from typing import Any

import pytest
from distributed_job import free_ports, tf_configs

from common.errors import UserError
from training import workers
from training.workers import wait_for_workers


@pytest.fixture(autouse=True)
def speaks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_MESSAGE_INTERVAL", 0.0)


def configs(count: int) -> list[dict[str, Any]]:
    return [json.loads(text) for text in tf_configs(count)]


def test_the_first_says_whom_it_waits_for_until_all_are_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    cluster = configs(3)
    addresses = cluster[0]["cluster"]["worker"]
    listeners: list[socket.socket] = []

    def meet(index: int) -> None:
        wait_for_workers(cluster[index], 60.0)
        # As TensorFlow does in place of a worker that is through.
        listeners.append(socket.create_server(("", int(addresses[index].rpartition(":")[2]))))

    started = [threading.Thread(target=meet, args=(i,)) for i in range(3)]
    for i, message in enumerate(
        (
            f"Waiting for worker 1 of 3 ({addresses[1]}) and 1 more ...",
            f"Waiting for worker 2 of 3 ({addresses[2]}) ...",
        )
    ):
        started[i].start()
        while message not in caplog.messages:
            assert started[0].is_alive()
            time.sleep(0.01)
    started[2].start()
    for thread in started:
        thread.join(60)
    for listener in listeners:
        listener.close()
    assert caplog.messages.count("All workers are there.") == 3


def test_a_worker_that_does_not_come(caplog: pytest.LogCaptureFixture) -> None:
    chief, worker = free_ports(2)
    config = {
        "cluster": {"chief": [f"localhost:{chief}"], "worker": [f"localhost:{worker}"]},
        "task": {"type": "worker", "index": 0},
    }
    with pytest.raises(UserError) as error:
        wait_for_workers(config, 0.5)
    assert str(error.value) == (
        f"the chief (localhost:{chief}) does not answer after --worker_timeout=0.5 seconds; start "
        "it, or correct its address in TF_CONFIG."
    )


def test_a_port_that_is_taken() -> None:
    config = configs(2)[0]
    port = int(config["cluster"]["worker"][0].rpartition(":")[2])
    with socket.create_server(("", port)), pytest.raises(UserError, match=f"on port {port} .*use"):
        wait_for_workers(config, 1.0)


def test_a_single_worker_does_not_wait() -> None:
    wait_for_workers(configs(1)[0], 0.0)
