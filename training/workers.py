"""Meeting of the workers of a job, which says in the log which of them it waits for.

TensorFlow's own start waits in silence, and without end. So every worker first listens on its own
address of TF_CONFIG until it has reached all others on theirs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from common.errors import UserError

# Seconds between two attempts to reach a worker, of one attempt, and between two messages.
_RETRY_INTERVAL, _ATTEMPT_TIMEOUT, _MESSAGE_INTERVAL = 0.2, 2.0, 10.0


def wait_for_workers(config: Mapping[str, Any], timeout: float) -> None:
    """Returns when all workers of a job have been reached.

    Args:
      config: The content of TF_CONFIG.
      timeout: Seconds to wait at most.

    Raises:
      UserError: The port of this worker is taken, or a worker is not there in time.
    """
    task, index = config["task"]["type"], int(config["task"]["index"])
    others = {
        _name(config, kind, i): address
        for kind, addresses in config["cluster"].items()
        for i, address in enumerate(addresses)
        if (kind, i) != (task, index)
    }
    if not others:
        return
    with _listening(config["cluster"][task][index]):
        begin = said = time.monotonic()
        while others := {name: at for name, at in others.items() if not _answers(at)}:
            name, address = next(iter(others.items()))
            now = time.monotonic()
            if now - begin > timeout:
                raise UserError(
                    f"{name} ({address}) does not answer after --worker_timeout={timeout:g} seconds; "
                    "start it, or correct its address in TF_CONFIG."
                )
            if now - said > _MESSAGE_INTERVAL:
                said = now
                more = f" and {len(others) - 1} more" if len(others) > 1 else ""
                logging.info("Waiting for %s (%s)%s ...", name, address, more)
            time.sleep(_RETRY_INTERVAL)
    logging.info("All workers are there.")


def _name(config: Mapping[str, Any], task: str, index: int) -> str:
    """Such as "worker 1 of 2", with the index of TF_CONFIG, or "the chief"."""
    count = len(config["cluster"][task])
    return "the chief" if task == "chief" else f"{task} {index} of {count}"


@contextlib.contextmanager
def _listening(address: str) -> Iterator[None]:
    """Lets other workers reach this one until TensorFlow listens on the same port."""
    port = address.rpartition(":")[2]
    try:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        # Shared, as TensorFlow's own is: an earlier worker may not have closed the port yet.
        listener = socket.create_server(
            ("", int(port)),
            family=family,
            reuse_port=True,
            dualstack_ipv6=family == socket.AF_INET6,
        )
    except (OSError, ValueError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UserError(
            f"TF_CONFIG gives this worker the address {address}, but it cannot listen on port {port} "
            f"({reason}); take a free port."
        ) from error
    with listener:
        yield


def _answers(address: str) -> bool:
    """Whether somebody listens at "host:port"; a name that is not known yet is nobody."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _ATTEMPT_TIMEOUT):
            return True
    except (OSError, ValueError, OverflowError):
        return False
