"""`pytorch_model.bin`: both forms, written by hand and by PyTorch where it is installed."""

from __future__ import annotations

import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from checkpoints.torch_file import read_torch_file
from common.errors import UserError

# What a pickle can say. It is turned into instructions here, so that what it names need not exist.


class Global(NamedTuple):
    name: str


class Call(NamedTuple):
    """A function called, and items set in the result."""

    function: Any
    arguments: tuple = ()
    items: Mapping[str, Any] = {}  # noqa: RUF012


class WithState(NamedTuple):
    """An object, and what its `__setstate__` gets."""

    value: Any
    state: Any


class Persistent(NamedTuple):
    pid: Any


def instructions(value: Any) -> bytes:
    if isinstance(value, Global):
        module, _, name = value.name.rpartition(".")
        return f"c{module}\n{name}\n".encode()
    if isinstance(value, Call):
        called = instructions(value.function) + instructions(value.arguments) + b"R"
        return called + (instructions(value.items)[1:] if value.items else b"")
    if isinstance(value, WithState):
        return instructions(value.value) + instructions(value.state) + b"b"
    if isinstance(value, Persistent):
        return instructions(value.pid) + b"Q"
    if isinstance(value, dict):
        return b"}(" + b"".join(instructions(x) for item in value.items() for x in item) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(instructions, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(instructions, value)) + b"t"
    if isinstance(value, bytes):
        return value  # Instructions as such.
    return pickle.dumps(value, 2)[2:-1]  # Without the number of the protocol and the end.


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + instructions(value) + b"."


STORAGE_TYPES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
ORDERED_DICT = Global("collections.OrderedDict")
VALUES = np.arange(24, dtype=np.float32) / 7


def storage(key: str, values: np.ndarray = VALUES) -> Persistent:
    storage_type = Global("torch." + STORAGE_TYPES[values.dtype.name])
    return Persistent(("storage", storage_type, key, "cpu", values.size))


def tensor(
    key: str = "0",
    values: np.ndarray = VALUES,
    shape: Any = (4, 6),
    strides: Any = (6, 1),
    offset: Any = 0,
    metadata: tuple = (),
) -> Call:
    arguments = (storage(key, values), offset, shape, strides, False, Call(ORDERED_DICT))
    return Call(Global("torch._utils._rebuild_tensor_v2"), (*arguments, *metadata))


Storages = Mapping[str, np.ndarray]


def write_zip(
    path: pathlib.Path,
    state: Any,
    storages: Storages,
    compression: int = zipfile.ZIP_STORED,
    byte_order: bytes = b"little",
) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", pickled(state))
        archive.writestr("model/byteorder", byte_order)
        for key, values in storages.items():
            archive.writestr(f"model/data/{key}", values.tobytes())
        archive.writestr("model/version", b"3\n")
    return str(path)


def write_legacy(
    path: pathlib.Path,
    state: Any,
    storages: Storages,
    magic: int = 0x1950A86A20F9469CFC6C,
    little_endian: bool = True,
) -> str:
    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    parts = [pickled(value) for value in (magic, 1001, machine, state, list(storages))]
    for values in storages.values():
        parts += [struct.pack("<q", values.size), values.tobytes()]
    path.write_bytes(b"".join(parts))
    return str(path)


Writer = Callable[..., str]
both_forms = pytest.mark.parametrize("write", [write_zip, write_legacy])


@both_forms
def test_views_of_storages(tmp_path: pathlib.Path, write: Writer) -> None:
    parameter = Call(
        Global("torch._utils._rebuild_parameter"), (tensor(), True, Call(ORDERED_DICT))
    )
    empty = np.zeros(0, np.float32)
    tensors = {
        "whole": tensor(),
        "parameter": parameter,
        "transposed": tensor(shape=(6, 4), strides=(1, 6)),
        "part": tensor(shape=(2, 3), strides=(8, 2), offset=5),
        "old": Call(Global("torch._utils._rebuild_tensor"), (storage("0"), 1, (2,), (22,))),
        "scalar": tensor(shape=(), strides=(), offset=23),
        "repeated": tensor(shape=(3, 2), strides=(0, 1)),
        "empty": tensor("1", empty, shape=(0, 5), strides=(5, 1)),
    }
    # The state is that of `Module.state_dict()`.
    state = WithState(
        Call(ORDERED_DICT, (), tensors), {"_metadata": Call(ORDERED_DICT, (), {"": {"version": 1}})}
    )
    found = read_torch_file(write(tmp_path / "model.bin", state, {"0": VALUES, "1": empty}))
    matrix = VALUES.reshape(4, 6)
    expected = {
        "whole": matrix,
        "parameter": matrix,
        "transposed": matrix.T,
        "part": VALUES[[[5, 7, 9], [13, 15, 17]]],
        "old": VALUES[[1, 23]],
        "scalar": VALUES[23],
        "repeated": np.stack([VALUES[:2]] * 3),
        "empty": np.zeros((0, 5)),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert found[name].dtype == np.float32
        assert not found[name].flags.writeable
    assert np.shares_memory(found["whole"], found["transposed"])


@both_forms
def test_types(tmp_path: pathlib.Path, write: Writer) -> None:
    values = {
        name: np.array([0, 1, 100, 1, 0.5], ml_dtypes.bfloat16 if name == "bfloat16" else name)
        for name in STORAGE_TYPES
    }
    state = {name: tensor(name, values[name], (5,), (1,)) for name in values}
    found = read_torch_file(write(tmp_path / "model.bin", state, values))
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def dangerous(target: pathlib.Path) -> dict[str, tuple[str, Any]]:
    """Name of the forbidden global -> a state that would create `target` by means of it."""
    command = f"touch {target}"
    code = f"open({str(target)!r}, 'w')"
    posix = Call(Global("posix.system"), (command,))
    return {
        "os.system": Call(Global("os.system"), (command,)),
        "posix.system": posix,
        "builtins.eval": Call(Global("builtins.eval"), (code,)),
        "__builtin__.eval": Call(Global("__builtin__.eval"), (code,)),
        "subprocess.Popen": Call(Global("subprocess.Popen"), (["touch", str(target)],)),
        # Beside, around and within what is allowed.
        "posix.spawn": {"a": tensor(), "b": Call(Global("posix.spawn"), ("/bin/touch", [], {}))},
        "runpy.run_path": Call(ORDERED_DICT, (), {"a": Call(Global("runpy.run_path"), ("x",))}),
        "nt.system": tensor(shape=Call(Global("nt.system"), (command,))),
        "builtins.exec": WithState(tensor(), Call(Global("builtins.exec"), (code,))),
        "numpy.core.multiarray._reconstruct": {
            "a": Call(
                Global("numpy.core.multiarray._reconstruct"), (Global("numpy.ndarray"), (0,), "b")
            )
        },
        "torch.load": Call(Global("torch.load"), (str(target),)),
        "torch.nn.modules.linear.Linear": Call(Global("torch.nn.modules.linear.Linear")),
        "collections.OrderedDict.fromkeys": Call(
            Global("collections.OrderedDict.fromkeys"), ("a",)
        ),
    }


@both_forms
@pytest.mark.parametrize("name", dangerous(pathlib.Path("x")))
def test_no_other_global(tmp_path: pathlib.Path, write: Writer, name: str) -> None:
    target = tmp_path / "created"
    path = write(tmp_path / "model.bin", dangerous(target)[name], {"0": VALUES})
    with pytest.raises(UserError, match=f"model.bin: its pickle asks for {name}, "):
        read_torch_file(path)
    assert not target.exists()


@both_forms
@pytest.mark.parametrize(
    "name, code",
    [
        ("INST", b"(ios\nsystem\n"),
        ("OBJ", b"(ccollections\nOrderedDict\no"),
        ("NEWOBJ", b"ccollections\nOrderedDict\n)\x81"),
        ("EXT1", b"\x82\x01"),
        ("PERSID", b"P0\n"),
        ("BYTEARRAY8", b"\x96\x03\0\0\0\0\0\0\0abc"),
        ("NEXT_BUFFER", b"\x97"),
    ],
)
def test_no_other_instruction(
    tmp_path: pathlib.Path, write: Writer, name: str, code: bytes
) -> None:
    path = write(tmp_path / "model.bin", {"v": tensor(), "w": code}, {"0": VALUES})
    with pytest.raises(UserError, match=f"model.bin: damaged.*the instruction {name},"):
        read_torch_file(path)


def test_a_pickle_alone_is_not_executed(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "created"
    path = tmp_path / "model.bin"
    path.write_bytes(pickled(dangerous(target)["posix.system"]))
    with pytest.raises(UserError, match="posix.system"):
        read_torch_file(str(path))
    assert not target.exists()


@both_forms
@pytest.mark.parametrize(
    "name",
    [
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
    ],
)
@pytest.mark.parametrize("state", [{"shape": 1}, (None, {"shape": 1, "tensor": 1, "keys": 1})])
def test_a_pickle_changes_no_class(
    tmp_path: pathlib.Path, write: Writer, name: str, state: Any
) -> None:
    bad = write(tmp_path / "bad.bin", {"a": WithState(Global(name), state)}, {"0": VALUES})
    with pytest.raises(UserError, match="bad.bin: damaged"):
        read_torch_file(bad)
    good = write(tmp_path / "good.bin", {"a": tensor()}, {"0": VALUES})
    assert read_torch_file(good)["a"].shape == (4, 6)


@both_forms
@pytest.mark.parametrize(
    "state, message",
    [
        ({"w": tensor(shape=(4, 7))}, r"w has shape \(4, 7\).*no view of its storage of 24"),
        ({"w": tensor(strides=(6, 2))}, "no view"),
        ({"w": tensor(offset=1)}, "offset 1, which is no view"),
        ({"w": tensor(offset=-1)}, "no view"),
        ({"w": tensor(strides=(-6, 1), offset=20)}, "no view"),
        ({"w": tensor(shape=(24,))}, "no shape"),
        ({"w": tensor(shape=(4.0, 6))}, "damaged"),
        ({"w": tensor(shape=(2**62, 2**62))}, "no view"),
        ({"w": tensor(shape=(25,), strides=(0,))}, "storage of 24 elements, or has more"),
        ({"w": tensor(shape=(2**17, 2**17), strides=(0, 0))}, "storage of 24 elements, or has"),
        ({"w": tensor(shape=5)}, "damaged"),
        ({"w": tensor(metadata=({"neg": True},))}, "negative, which is no view"),
        (
            {"v": tensor(), "w": Call(Global("torch._utils._rebuild_tensor"), ("0", 0, (), ()))},
            "w is a Tensor, expected a tensor with a storage",
        ),
        ({"v": tensor(), "w": 3}, "model.bin: w is a int, expected a tensor"),
        ({"state_dict": {"w": tensor()}}, "state_dict is a dict, expected a tensor"),
        ({"w": storage("0")}, "w is a Storage"),
        ({3: tensor()}, "expected a dictionary of named tensors"),
        ([tensor()], "holds a list"),
        (tensor(), "holds a Tensor"),
        ({"w": tensor(), "v": tensor("0", VALUES[:3])}, "storage 0 has two types or sizes"),
        ({"w": Call(Global("torch.FloatStorage"), (3,))}, "damaged"),
        ({"w": Persistent(("module", "0"))}, "damaged"),
        ({"w": Persistent(("module", "m", "0", "cpu", 24))}, "unknown kind of persistent id"),
        (
            {"w": Persistent((*storage("0").pid, ("1", 0, 24)))},
            "unknown kind of persistent id",
        ),
        ({"w": tensor("1")}, "(data/1 is missing|damaged)"),
    ],
)
def test_no_tensors(tmp_path: pathlib.Path, write: Writer, state: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_torch_file(write(tmp_path / "model.bin", state, {"0": VALUES}))


@both_forms
def test_cut_short(tmp_path: pathlib.Path, write: Writer) -> None:
    path = pathlib.Path(write(tmp_path / "model.bin", {"w": tensor()}, {"0": VALUES}))
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match="model.bin"):
            read_torch_file(str(path))


def test_damaged_archives(tmp_path: pathlib.Path) -> None:
    path, state = tmp_path / "model.bin", {"w": tensor()}
    with pytest.raises(UserError, match="data/0 has 92 bytes, its tensors need 96"):
        read_torch_file(write_zip(path, state, {"0": VALUES[1:]}))
    with pytest.raises(UserError, match="is compressed"):
        read_torch_file(write_zip(path, state, {"0": VALUES}, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="big-endian"):
        read_torch_file(write_zip(path, state, {"0": VALUES}, byte_order=b"big"))
    write_zip(path, state, {"0": VALUES})
    path.write_bytes(path.read_bytes().replace(VALUES[3:6].tobytes(), VALUES[6:9].tobytes()))
    with pytest.raises(UserError, match="CRC"):
        read_torch_file(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    with pytest.raises(UserError, match="no data.pkl"):
        read_torch_file(str(path))


def test_damaged_legacy_files(tmp_path: pathlib.Path) -> None:
    path, state = tmp_path / "model.bin", {"w": tensor()}
    for size in (23, 25):
        storages = {"0": np.resize(VALUES, size), "1": VALUES}
        with pytest.raises(UserError, match=f"24 elements .* in the pickle, {size} in front"):
            read_torch_file(write_legacy(path, {**state, "v": tensor("1")}, storages))
    with pytest.raises(UserError, match="a pickle, but not a file of PyTorch"):
        read_torch_file(write_legacy(path, state, {"0": VALUES}, magic=1))
    with pytest.raises(UserError, match="big-endian"):
        read_torch_file(write_legacy(path, state, {"0": VALUES}, little_endian=False))
    path.write_text("hello")
    with pytest.raises(UserError, match="damaged, or not a file of PyTorch"):
        read_torch_file(str(path))
    with pytest.raises(UserError, match="No such file"):
        read_torch_file(str(tmp_path / "other.bin"))


@pytest.mark.parametrize("is_zip", [True, False])
def test_files_of_pytorch(tmp_path: pathlib.Path, is_zip: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.LayerNorm(3))
    module.register_buffer("position_ids", torch.arange(9).expand(1, -1))
    tied = torch.nn.Parameter(torch.randn(7, 5))
    state = module.state_dict()
    state["tied"], state["tied too"] = tied, tied
    state["transposed"], state["part"] = tied.data.T, tied.data[2:4, 1:3]
    state["scalar"], state["empty"] = torch.tensor(3.5), torch.zeros(0, 4)
    for name in STORAGE_TYPES:
        state[name] = (torch.arange(6) - 0.5).to(getattr(torch, name)).reshape(2, 3)
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    assert zipfile.is_zipfile(path) == is_zip
    found = read_torch_file(str(path))
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].dtype.name == str(value.dtype).removeprefix("torch.")
        expected = value.detach().to(torch.float64).numpy()
        np.testing.assert_array_equal(found[name].astype(np.float64), expected, err_msg=name)
    torch.save(module, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UserError, match="its pickle asks for torch.nn.modules"):
        read_torch_file(str(path))
