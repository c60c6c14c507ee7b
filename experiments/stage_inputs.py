"""The files that a command of ours reads, by its flags, and a digest of what is in them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from common.errors import UserError
from common.files import (
    COMPRESSIONS,
    exists,
    file_size,
    is_folder,
    is_remote,
    list_folder,
    sha256_file,
)
from common.input_files import expand_globs, files_below
from training.metrics_log import METRICS_FILE

# Flags of the scripts whose values are files (comma-separated globs).
_GLOB_FLAGS = (
    *("input_file", "eval_file", "exclude_file", "from_file"),
    *("train_file", "dev_file", "test_file", "corpus_a", "corpus_b"),
)
# Those whose values are a folder of data, or lists of TASK:FOLDER.
_FOLDER_FLAG, _TASK_FLAGS = "data_dir", ("input_task", "exclude_task")
# Those whose values are single files, or names of sizes, after which folders may be called.
_FILE_FLAGS = ("vocab_file", "bert_config_file")
# Those whose values are models: folders, files in them, prefixes of checkpoints.
_MODEL_FLAGS = ("init_checkpoint", "teacher", "input_path")
# Those whose values are lists of folders of evaluated runs.
_RUNS_FLAG = "runs"

# What makes a model. Results and saved states beside it may change without changing the model.
MODEL_FILES = re.compile(
    r"bert_model\.ckpt\..+|.+\.(safetensors|bin)|vocab\.txt|(.+_)?config\.json|tokenizer\.json"
    r"|.+\.index\.json|special_tokens_map\.json|added_tokens\.json|model_info\.json"
)
# The weights of a model in a folder without `bert_model.ckpt`: `checkpoint` names the newest of them.
# `checkpoints.formats` finds those that are read, but takes TensorFlow, which takes seconds, for it.
_CHECKPOINT_FILES = re.compile(r"checkpoint|.+\.(index|data-\d+-of-\d+)")


def command_inputs(command: Sequence[str]) -> dict[str, str]:
    """Input files of a command: `--flag=value`, some `--flag=value: path` of a file, -> SHA-256.

    Values that name no file are left out, such as the name of a size.

    Args:
      command: Program and arguments, `--flag=value` or `--flag value`.

    Raises:
      UserError: A file cannot be read.
    """
    inputs: dict[str, str] = {}
    for flag, value in _flag_values(command):
        name, paths = f"--{flag}={value}", _paths(flag, value)
        if paths:
            inputs[name] = hashlib.sha256("".join(map(_digest, paths)).encode()).hexdigest()
        # Each by itself: a test set that is added later was not read, and earlier versions took no
        # note of weights of such names, so these stay out of the digest above.
        each = [*_files_of_folders(flag, value), *_checkpoint_files(flag, value)]
        inputs.update((f"{name}: {path}", _digest(path)) for path in each)
    return inputs


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The change in the inputs of a command, in words; None if it reads the same.

    Inputs that are only there now are others than it has read, unless one stands in place of a file
    that it has read: of a set's names, plain and compressed, the first one is read
    (`classification.task_files.find_file`).
    """
    for name, digest in before.items():
        if name not in now:
            return f"has read {name}, which is not there any more"
        if now[name] != digest:
            return f"is from other content of {name}"
    for name in now:
        ending = next((c for c in COMPRESSIONS[1:] if name.endswith(c)), "")
        names = [name.removesuffix(ending) + c for c in COMPRESSIONS]
        read = next((other for other in names if other in before), name)
        if names.index(name) < names.index(read):
            return f"is from {read}, in place of which {name} would be read"
    return None


def _flag_values(command: Sequence[str]) -> Iterator[tuple[str, str]]:
    for argument, following in zip(command, [*command[1:], ""], strict=True):
        if argument.startswith("-"):
            flag, equals, value = argument.lstrip("-").partition("=")
            yield flag, value if equals else following


def _paths(flag: str, value: str) -> list[str]:
    """The existing files that a flag stands for, apart from those of the functions below."""
    if flag in _MODEL_FLAGS and value:
        folder = _model_folder(value)
        return [os.path.join(folder, n) for n in _names(folder) if MODEL_FILES.fullmatch(n)]
    if flag == _RUNS_FLAG:
        folders = [folder for folder in value.split(",") if folder]
        return [os.path.join(f, n) for f in folders for n in _names(f) if is_of_run(n)]
    if flag in _FILE_FLAGS:
        return [value] if exists(value) and not is_folder(value) else []
    paths = []
    for part in value.split(",") if flag in _GLOB_FLAGS else ():
        with contextlib.suppress(UserError):
            paths += expand_globs(part, flag, level=logging.DEBUG)
    return paths


def is_of_run(name: str) -> bool:
    """Whether a file in the folder of an evaluated run belongs to its model or its results."""
    return bool(MODEL_FILES.fullmatch(name)) or name in (METRICS_FILE, "eval_results.txt")


def _model_folder(value: str) -> str:
    return value if is_folder(value) else os.path.dirname(value) or "."


def _names(folder: str) -> list[str]:
    return sorted(list_folder(folder)) if is_folder(folder) else []


def _checkpoint_files(flag: str, value: str) -> list[str]:
    """The weights of a model under names that are none of `MODEL_FILES`: of the prefix, or all."""
    if flag not in _MODEL_FLAGS or not value:
        return []
    folder, prefix = _model_folder(value), ""
    if not is_folder(value):
        prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", os.path.basename(value)) + "."
    names = [name for name in _names(folder) if name.startswith(prefix)]
    if not prefix and "bert_model.ckpt.index" in names:
        return []  # It comes before the other ones, saved states of a run.
    wanted = [n for n in names if _CHECKPOINT_FILES.fullmatch(n) and not MODEL_FILES.fullmatch(n)]
    return [os.path.join(folder, name) for name in wanted]


def _files_of_folders(flag: str, value: str) -> list[str]:
    """The files below folders of data, without hidden ones and descriptions of other ones."""
    folders = [value] if flag == _FOLDER_FLAG else []
    if flag in _TASK_FLAGS:
        folders = [part.strip().partition(":")[2] for part in value.split(",")]
    paths = {path for folder in folders if folder for path in files_below(folder)}
    described = {f"{path}.json" for path in paths}
    return [path for path in sorted(paths) if path not in described]


def _digest(path: str) -> str:
    """SHA-256 of a file; within one process, a file that looks unchanged is not read again."""
    return _digest_of(path, file_size(path), 0 if is_remote(path) else os.stat(path).st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest_of(path: str, size: int, changed_at: int) -> str:
    return sha256_file(path)
