"""A `pytorch_model.bin` read without PyTorch, and safely: such files come from anywhere.

The file holds a pickle, and a pickle is a program. Here it can name nothing but the dictionary, the
storages and the rebuilding functions of tensors, and these only make descriptions (`_Tensor`,
`_Storage`), which are checked against the data when the pickle has been read.

Two forms (`torch/serialization.py` of PyTorch). Since 1.6 a zip archive of uncompressed members:

    <name>/data.pkl    the pickle; storages stand in it as persistent ids
    <name>/data/<key>  the values of the storage with this key
    <name>/byteorder   "little" or "big" (since 2.1)

Before, pickles in a row and then the values: a magic number, the version of the form, facts about
the machine, the object, the list of storage keys, and for each key the number of elements (int64)
and the values.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import ml_dtypes
import numpy as np

from common.errors import UserError
from common.files import file_size, open_binary

_ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001


class _Storage(NamedTuple):
    """A one-dimensional array in the file; tensors are views of it."""

    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    """Arguments of `_rebuild_tensor_v2`; `_rebuild_tensor` has the first four."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any
    requires_grad: Any = False
    hooks: Any = None
    metadata: Any = None


class _Parameter(NamedTuple):
    """Arguments of `_rebuild_parameter`."""

    tensor: Any
    requires_grad: Any
    hooks: Any


# All that a pickle can name: the types are what it can call.
_GLOBALS: dict[str, type | np.dtype] = {
    "collections.OrderedDict": dict,
    "torch._utils._rebuild_tensor": _Tensor,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    "torch._utils._rebuild_parameter": _Parameter,
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}


def read_torch_file(path: str) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dictionary that `torch.save` wrote.

    Args:
      path: The file, in either form.

    Returns:
      Name -> read-only array of the tensor's shape and type (bfloat16 is that of `ml_dtypes`).
      Tensors that share a storage share memory.

    Raises:
      UserError: The file is damaged or no PyTorch file, asks for anything that no tensor needs, or
        holds something else than tensors. Nothing of it has been executed.
    """
    try:
        with open_binary(path, decompress=False) as file:
            is_zip = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
            file.seek(0)
            state, values = (_read_zip if is_zip else _read_legacy)(path, file)
        if not (isinstance(state, dict) and all(isinstance(name, str) for name in state)):
            raise UserError(
                f"{path}: holds a {_kind(state)}, expected a dictionary of named tensors; "
                "save the model's state_dict()."
            )
        return {name: _array(f"{path}: {name}", tensor, values) for name, tensor in state.items()}
    except UserError:
        raise
    except Exception as error:  # Pickles and archives fail in as many ways as they can be damaged.
        raise UserError(
            f"{path}: damaged, or not a file of PyTorch ({type(error).__name__}: {error}); get or "
            "save it again."
        ) from error


def _read_pickle(path: str, file: IO[bytes]) -> tuple[Any, dict[str, _Storage]]:
    """Reads one pickle, up to its end.

    Python's own unpickler is not used, not even with a filter on names: it has instructions that can
    change classes or fill the memory. These are the ones that `torch.save` writes.

    Args:
      path: For messages.
      file: Read from where it stands.

    Returns:
      The object, and the storages in it by key.
    """
    stack: list[Any] = []
    outer_stacks: list[list[Any]] = []
    memo: dict[int, Any] = {}
    storages: dict[str, _Storage] = {}
    argument: Any
    for instruction, argument, _ in pickletools.genops(file):
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                break
            case "BININT" | "BININT1" | "BININT2" | "LONG1":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(instruction.name == "NEWTRUE")
            case "MARK":
                outer_stacks.append(stack)
                stack = []
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(instruction.name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "TUPLE":
                items, stack = stack, outer_stacks.pop()
                stack.append(tuple(items))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items, stack = stack, outer_stacks.pop()
                stack[-1].extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items, stack = stack, outer_stacks.pop()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_global(path, *argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_global(path, module, name))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                if not isinstance(function, type):
                    raise ValueError("a call of something that is no function")
                stack.append(function(*arguments))
            case "BUILD":
                # The attributes of a module's dictionary are versions of its parts.
                stack.pop()
                if not isinstance(stack[-1], dict):
                    raise ValueError("attributes for something else than a dictionary")
            case "BINPERSID":
                storage = _storage(*stack.pop())
                if storages.setdefault(storage.key, storage) != storage:
                    raise ValueError(f"storage {storage.key} has two types or sizes")
                stack.append(storage)
            case other:
                raise ValueError(f"the instruction {other}, which no tensor needs")
    return stack.pop(), storages


def _global(path: str, module: str, name: str) -> type | np.dtype:
    full_name = f"{module}.{name}"
    if full_name not in _GLOBALS:
        raise UserError(
            f"{path}: its pickle asks for {full_name}, which no tensor needs, so it was not read; "
            "get the weights from a source you trust, as a state_dict or as safetensors."
        )
    return _GLOBALS[full_name]


def _storage(
    kind: str, dtype: Any, key: Any, _device: Any, size: Any, view: Any = None
) -> _Storage:
    """A storage by the persistent id that stands for it."""
    if (
        kind != "storage"
        or not isinstance(dtype, np.dtype)
        or not isinstance(key, str)
        or type(size) is not int
        or view is not None
    ):
        raise ValueError("an unknown kind of persistent id")
    return _Storage(key, dtype, size)


def _read_zip(path: str, file: IO[bytes]) -> tuple[Any, dict[str, np.ndarray]]:
    """The unpickled object, and the values of its storages by key."""
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}

        def read(name: str, num_bytes: int | None = None) -> bytes:
            if name not in members:
                raise UserError(f"{path}: member {name} is missing; get or save the file again.")
            member = members[name]
            if num_bytes not in (None, member.file_size):
                raise UserError(
                    f"{path}: member {name} has {member.file_size} bytes, its tensors need "
                    f"{num_bytes}; get or save the file again."
                )
            # PyTorch never compresses; a small file cannot fill the memory then.
            if member.compress_type != zipfile.ZIP_STORED:
                raise UserError(
                    f"{path}: member {name} is compressed; no file of PyTorch has that."
                )
            return archive.read(member)

        pickles = [name for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(pickles) != 1:
            raise UserError(f"{path}: a zip archive, but not of PyTorch (no data.pkl in it).")
        folder = pickles[0].removesuffix("data.pkl")
        if folder + "byteorder" in members:
            _check_byte_order(path, read(folder + "byteorder") == b"little")
        state, storages = _read_pickle(path, io.BytesIO(read(pickles[0])))
        values = {}
        for key, (_, dtype, size) in storages.items():
            raw = read(f"{folder}data/{key}", size * dtype.itemsize)
            values[key] = np.frombuffer(raw, dtype)
    return state, values


def _read_legacy(path: str, file: IO[bytes]) -> tuple[Any, dict[str, np.ndarray]]:
    """As `_read_zip`."""

    def load() -> Any:
        return _read_pickle(path, file)[0]

    if (load(), load()) != (_LEGACY_MAGIC, _LEGACY_VERSION):
        raise UserError(f"{path}: a pickle, but not a file of PyTorch.")
    _check_byte_order(path, load()["little_endian"])
    state, storages = _read_pickle(path, file)
    values = {}
    for key in load():
        _, dtype, size = storages[key]
        (stored_size,) = struct.unpack("<q", file.read(8))
        remaining = file_size(path) - file.tell()
        if stored_size != size or size * dtype.itemsize > remaining:
            raise UserError(
                f"{path}: storage {key} has {size} elements of {dtype.itemsize} bytes in the pickle, "
                f"{stored_size} in front of the values, and {remaining} bytes are left of the file; "
                "get or save it again."
            )
        values[key] = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    return state, values


def _check_byte_order(path: str, is_little_endian: bool) -> None:
    if not is_little_endian:
        raise UserError(f"{path}: written on a big-endian machine; save it on a little-endian one.")


def _array(source: str, value: Any, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The view of a storage that a tensor is.

    Args:
      source: File and name, for messages.
      value: The value in the state dictionary.
      values: Storages by key.
    """
    tensor = value.tensor if isinstance(value, _Parameter) else value
    if not (isinstance(tensor, _Tensor) and isinstance(tensor.storage, _Storage)):
        raise UserError(
            f"{source} is a {_kind(value)}, expected a tensor with a "
            "storage; save the model's state_dict() alone."
        )
    key, dtype, size = tensor.storage
    shape, strides, offset = tuple(tensor.shape), tuple(tensor.strides), tensor.offset
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(n) is int for n in numbers):
        raise ValueError(f"{source} has no shape, strides and offset")
    end = 0
    if 0 not in shape:
        end = 1 + offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # A view that repeats elements can be of any size: what it is copied to would fill the memory.
    if min(numbers) < 0 or max(end, math.prod(shape)) > size or tensor.metadata:
        raise UserError(
            f"{source} has shape {shape}, strides {strides} and offset {offset}"
            + (" and is conjugate or negative" if tensor.metadata else "")
            + f", which is no view of its storage of {size} elements, or has more elements than "
            "that; get the file again, or save contiguous tensors."
        )
    if not end:
        return values[key][:0].reshape(shape)
    return np.lib.stride_tricks.as_strided(
        values[key][offset:],
        shape,
        [step * dtype.itemsize for step in strides],
    )


def _kind(value: Any) -> str:
    return type(value).__name__.removeprefix("_")
