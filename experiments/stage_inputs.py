"""The files that a command of ours reads, by its flags, and a digest of what is in them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence

from common.errors import UserError
from common.files import exists, file_size, is_folder, is_remote, list_folder, sha256_file
from common.input_files import expand_globs

# Flags of the scripts whose values are files (comma-separated globs).
_GLOB_FLAGS = (
    *("input_file", "eval_file", "exclude_file", "from_file"),
    *("train_file", "dev_file", "test_file"),
)
# Those whose values are folders of data, or lists of TASK:FOLDER.
_FOLDER_FLAGS = ("data_dir", "input_task", "exclude_task")
# Those whose values are single files, or names of sizes, after which folders may be called.
_FILE_FLAGS = ("vocab_file", "bert_config_file")
# Those whose values are models: folders, files in them, prefixes of checkpoints.
_MODEL_FLAGS = ("init_checkpoint", "teacher", "input_path")

# What makes a model. Results and saved states beside it may change without changing the model.
MODEL_FILES = re.compile(
    r"bert_model\.ckpt\..+|.+\.(safetensors|bin)|vocab\.txt|(.+_)?config\.json|tokenizer\.json"
    r"|.+\.index\.json|special_tokens_map\.json|added_tokens\.json|model_info\.json"
)


def command_inputs(command: Sequence[str]) -> dict[str, str]:
    """Input files of a command: `--flag=value`, or a file in a data folder, -> SHA-256.

    Values that name no file are left out, such as the name of a size.

    Args:
      command: Program and arguments, `--flag=value` or `--flag value`.

    Raises:
      UserError: A file cannot be read.
    """
    inputs: dict[str, str] = {}
    for flag, value in _flag_values(command):
        paths = _paths(flag, value)
        digests = [_digest(path, file_size(path), _changed_at(path)) for path in paths]
        if flag in _FOLDER_FLAGS:
            # Not as a whole: a test set that is added later was not read.
            names = [f"--{flag}={value}: {path}" for path in paths]
            inputs.update(zip(names, digests, strict=True))
        elif paths:
            inputs[f"--{flag}={value}"] = hashlib.sha256("".join(digests).encode()).hexdigest()
    return inputs


def _flag_values(command: Sequence[str]) -> Iterator[tuple[str, str]]:
    for argument, following in zip(command, [*command[1:], ""], strict=True):
        if argument.startswith("-"):
            flag, equals, value = argument.lstrip("-").partition("=")
            yield flag, value if equals else following


def _paths(flag: str, value: str) -> list[str]:
    """The existing files that a flag stands for."""
    if flag in _MODEL_FLAGS and value:
        folder = value if is_folder(value) else os.path.dirname(value) or "."
        names = sorted(list_folder(folder)) if is_folder(folder) else []
        return [os.path.join(folder, name) for name in names if MODEL_FILES.fullmatch(name)]
    if flag in _FILE_FLAGS:
        return [value] if exists(value) and not is_folder(value) else []
    paths = []
    for part in value.split(",") if flag in (*_GLOB_FLAGS, *_FOLDER_FLAGS) else ():
        name = part.partition(":")[2] if flag.endswith("_task") else part
        with contextlib.suppress(UserError):
            paths += expand_globs(name, flag, level=logging.DEBUG)
    return paths


def _changed_at(path: str) -> int:
    return 0 if is_remote(path) else os.stat(path).st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _digest(path: str, size: int, changed_at: int) -> str:
    """SHA-256 of a file; within one process, a file that looks unchanged is not read again."""
    return sha256_file(path)
