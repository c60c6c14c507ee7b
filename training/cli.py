"""Common start of all scripts: quiet TensorFlow, plain log lines, one-line errors."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from common.errors import UserError
from common.input_files import readable_again
from common.outputs import release_locks
from common.quiet import prepare_libraries
from training.flag_checks import check_flags
from training.help import define_help_flags
from training.termination import EXIT_TERMINATED


def run(main: Callable[[Sequence[str]], None], takes_arguments: bool = False) -> None:
    """Checks the flags and runs `main`; a UserError becomes one line on stderr and exit status 1.

    Args:
      main: Called with the name of the script and, if it takes them, its arguments.
      takes_arguments: Whether there may be more than flags.
    """

    def guarded(argv: Sequence[str]) -> None:
        configure_logging()
        prepare_libraries()
        relax_garbage_collection()
        # Terminated politely, a script still removes its temporary files and ends its children.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
        try:
            if len(argv) > 1 and not takes_arguments:
                raise UserError(
                    f'unexpected argument "{argv[1]}"; every flag is written --name=value.'
                )
            check_flags(flags.FLAGS, pathlib.PurePath(argv[0]).stem)
            resolve_paths(flags.FLAGS)
            main([argv[0], *map(_settled_argument, argv[1:])])
        except UserError as error:
            print(f"ERROR: {error}", file=sys.stderr)
            sys.exit(1)
        except OSError as error:
            # Files and disks that fail where nothing more can be said about them.
            place = f"{error.filename}: " if error.filename else ""
            print(f"ERROR: {place}{error.strerror or error}.", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("Interrupted; run the same command again to continue.", file=sys.stderr)
            sys.exit(130)
        finally:
            release_locks()

    define_help_flags()
    app.run(guarded)


# Flags whose values are words, and those that name what is written.
_WORDS = ("labels", "label", "text_a", "text_b", "label_names", "class_weights")
_OUTPUTS = ("output_file", "output_dir", "submission_dir")


def resolve_paths(values: flags.FlagValues) -> None:
    """Makes the paths in all flags ones that every script can use.

    A shell does not expand `~` behind `--name=`, so it is done here; and a pipe, which can be read
    once only, becomes a file with its content (`common.input_files.readable_again`).

    Raises:
      UserError: A pipe cannot be read or copied.
    """
    for name in values:
        flag = values[name]
        if isinstance(flag.value, str):
            flag.value = _resolved(name, flag.value)
        elif isinstance(flag.value, list):
            flag.value = [_resolved(name, v) if isinstance(v, str) else v for v in flag.value]


def _settled_argument(argument: str) -> str:
    """The same for an argument `--name=value` that is handed on to another script."""
    name, equals, value = argument.partition("=")
    return name + equals + _resolved(name.lstrip("-"), value)


def _resolved(name: str, value: str) -> str:
    """`name` is that of the flag; several paths are separated by commas."""
    if name in _WORDS:
        return value
    paths = map(_with_home, value.split(","))
    return ",".join(paths if name in _OUTPUTS else map(readable_again, paths))


def _with_home(path: str) -> str:
    task, colon, folder = path.partition(":")
    if colon and folder.startswith("~"):  # As in --exclude_task=mnli:~/glue/MNLI.
        return task + colon + os.path.expanduser(folder)
    return os.path.expanduser(path.strip()) if path.strip().startswith("~") else path


def configure_logging() -> None:
    """INFO lines as plain text on stderr, in place of absl's prefix of level, date and file.

    Of other libraries, warnings alone: TensorFlow tells of every state that it saves.
    """
    root = logging.getLogger()
    root.handlers[:] = [logging.StreamHandler(sys.stderr)]
    root.handlers[0].setFormatter(logging.Formatter("%(message)s"))
    root.handlers[0].addFilter(
        lambda record: record.name not in ("absl", "tensorflow") or record.levelno > logging.INFO
    )
    root.setLevel(logging.INFO)


# New objects after which Python looks for cycles among them; by default 700.
_COLLECTION_THRESHOLD = 50_000


def relax_garbage_collection() -> None:
    """Lets Python look for cycles of unused objects seldom, and not at its end.

    TensorFlow's modules and graphs are millions of objects in use. To look through them again and
    again takes an eighth of a small run, and to take them apart at the end most of a second.
    """
    gc.set_threshold(_COLLECTION_THRESHOLD)
    atexit.register(gc.freeze)
