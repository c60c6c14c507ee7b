"""SIGTERM within and outside of the context."""

from __future__ import annotations

import os
import signal

import pytest

from training.termination import EXIT_TERMINATED, sigterm_noted


def test_signal_is_noted_and_nothing_ends() -> None:
    with sigterm_noted() as is_terminated:
        assert not is_terminated()
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_terminated()
    with sigterm_noted() as is_terminated_again:
        assert not is_terminated_again()


@pytest.mark.parametrize("error", [None, ValueError])
def test_handler_before_is_back(error: type[Exception] | None) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        try:
            with sigterm_noted():
                os.kill(os.getpid(), signal.SIGTERM)
                if error:
                    raise error
        except ValueError:
            assert error
        assert not received
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_status_is_that_of_a_shell() -> None:
    assert EXIT_TERMINATED == 143
