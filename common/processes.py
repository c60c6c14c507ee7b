"""Work in other processes: an ordered map of little memory, and commands that may fail."""

from __future__ import annotations

import collections
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from common.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")

# Tasks handed out per process before the oldest result is waited for.
_LOOK_AHEAD = 2

_worker: Callable[[Any], Any]


def ordered_map(
    make_worker: Callable[..., Callable[[Task], Result]],
    args: tuple[Any, ...],
    tasks: Iterable[Task],
    num_processes: int | None = None,
) -> Iterator[Result]:
    """Yields `worker(task)` for every task, in the order of the tasks.

    Args:
      make_worker: Called as `make_worker(*args)` once in every process, so a worker can hold state
        that is large, or slow to make.
      args: Must be picklable, like tasks and results.
      tasks: Read only a few tasks ahead.
      num_processes: One per CPU by default; with 1, everything happens in this process.

    Raises:
      UserError: A process died, which is what running out of memory looks like.
      Exception: Whatever the worker raises, at the place of its task.
    """
    num_processes = num_processes or os.cpu_count() or 1
    if num_processes == 1:
        yield from map(make_worker(*args), tasks)
        return
    # A fresh interpreter rather than a fork: safe whatever threads the caller has running.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(num_processes, context, _start, (make_worker, args))
    pending: collections.deque[Future[Result]] = collections.deque()
    try:
        for task in tasks:
            pending.append(executor.submit(_call, task))
            if len(pending) > _LOOK_AHEAD * num_processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            "A worker process was killed, probably because memory ran out; use a smaller "
            f"--num_processes than {num_processes}."
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _start(make_worker: Callable[..., Callable[[Any], Any]], args: tuple[Any, ...]) -> None:
    global _worker
    # Ctrl-C reaches all processes; the parent alone reports it and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that is killed cannot end its workers, which would then wait for tasks for ever.
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _worker = make_worker(*args)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(task: Any) -> Any:
    return _worker(task)


def output_of(command: Sequence[str], failure: str, cwd: str | None = None) -> str:
    """Standard output of a command.

    Args:
      command: Program and arguments.
      failure: Begins the message if it fails.
      cwd: Folder that it runs in.

    Raises:
      UserError: It failed; the last line of its standard error is in the message.
    """
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if result.returncode:
        raise UserError(f"{failure}: {last_words(result.stderr)}")
    return result.stdout


def last_words(text: str) -> str:
    """The last line of what a process has written that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
