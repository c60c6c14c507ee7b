"""Tensors in the files of a Hugging Face folder: safetensors or PyTorch's, one or several."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from checkpoints.hugging_face_config import read_object
from checkpoints.torch_file import read_torch_file
from common.atomic import copy_file
from common.errors import UserError
from common.files import exists, is_remote

SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
# Lists of the files that a large model is in.
_SHARDS, _TORCH_SHARDS = (f"{name}.index.json" for name in (SAFETENSORS, TORCH))


class StoredTensor(NamedTuple):
    """A tensor in a file: its shape, and a function that reads its values."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def weights_file_name(folder: str) -> str | None:
    """Name of the file with the weights, or with the list of files that have them; None without."""
    names = (SAFETENSORS, _SHARDS, TORCH, _TORCH_SHARDS)
    return next((name for name in names if exists(os.path.join(folder, name))), None)


def stored_tensors(path: str) -> dict[str, StoredTensor]:
    """The tensors of a model by their names in its files; values are read when asked for.

    Args:
      path: A file of weights, or the list (`.index.json`) of several beside it.

    Raises:
      UserError: A file is damaged, or lacks a tensor that the list has in it.
    """
    if path.endswith(".index.json"):
        return _sharded_tensors(path)
    if path.endswith(".bin"):
        return {
            name: StoredTensor(value.shape, functools.partial(np.asarray, value))
            for name, value in read_torch_file(path).items()
        }
    return _safetensors(path)


def _sharded_tensors(path: str) -> dict[str, StoredTensor]:
    """The tensors of a model in several files of either kind."""
    files = read_object(path).get("weight_map")
    ending = ".bin" if path.endswith(_TORCH_SHARDS) else ".safetensors"
    if not isinstance(files, dict) or not all(
        isinstance(file, str) and os.path.basename(file) == file and file.endswith(ending)
        for file in files.values()
    ):
        raise UserError(
            f'{path}: "weight_map" must give the name of a {ending} file for each tensor.'
        )
    folder = os.path.dirname(path)
    shards = {file: stored_tensors(os.path.join(folder, file)) for file in set(files.values())}
    for name, file in files.items():
        if name not in shards[file]:
            raise UserError(f"{path}: tensor {name} should be in {file}, but is not there.")
    return {name: shards[file][name] for name, file in files.items()}


def _safetensors(path: str) -> dict[str, StoredTensor]:
    # Gives NumPy the type bfloat16.
    import ml_dtypes  # noqa: F401
    from safetensors import safe_open

    try:
        if is_remote(path):
            with tempfile.TemporaryDirectory() as folder:
                copy = os.path.join(folder, SAFETENSORS)
                copy_file(path, copy)
                file = safe_open(copy, framework="np")  # Mapped memory outlives the file's name.
        else:
            file = safe_open(path, framework="np")
        return {
            name: StoredTensor(
                tuple(file.get_slice(name).get_shape()), functools.partial(file.get_tensor, name)
            )
            for name in file.keys()  # noqa: SIM118
        }
    except Exception as error:  # safetensors has an exception type for each damage.
        raise UserError(f"{path}: not a readable safetensors file ({error}).") from error
