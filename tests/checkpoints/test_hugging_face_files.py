"""Files of weights in a Hugging Face folder: one or several, of either kind, and damaged ones."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from hugging_face_folders import library_tensors, write_folder
from safetensors.numpy import save_file

from checkpoints import hugging_face_files
from checkpoints.hugging_face import HuggingFaceReader, is_huggingface_folder
from common.errors import UserError


def test_weight_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = library_tensors()
    folder = write_folder(tmp_path, tensors)
    expected = HuggingFaceReader(folder)
    (tmp_path / "model.safetensors").unlink()
    assert not is_huggingface_folder(folder)
    with pytest.raises(UserError, match="neither model.safetensors nor pytorch_model.bin"):
        HuggingFaceReader(folder)

    def same_as_expected() -> None:
        assert is_huggingface_folder(folder)
        reader = HuggingFaceReader(folder)
        assert reader.shapes == expected.shapes
        kernel = "bert/encoder/layer_0/output/dense/kernel"
        np.testing.assert_array_equal(
            reader.read(kernel), tensors["bert.encoder.layer.0.output.dense.weight"].T
        )

    (tmp_path / "pytorch_model.bin").touch()
    monkeypatch.setattr(hugging_face_files, "read_torch_file", lambda path: tensors)
    same_as_expected()
    (tmp_path / "pytorch_model.bin").unlink()

    names = sorted(tensors)
    shards = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, tmp_path / file)
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    index_path = tmp_path / "model.safetensors.index.json"
    index_path.write_text(json.dumps(index))
    same_as_expected()
    assert HuggingFaceReader(folder).source == str(index_path)
    save_file({name: tensors[name] for name in names[1:9]}, tmp_path / "model-1.safetensors")
    with pytest.raises(UserError, match=f"{names[0]} should be in model-1.safetensors"):
        HuggingFaceReader(folder)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(UserError, match="model-1.safetensors: not a readable safetensors file"):
        HuggingFaceReader(folder)
    for wrong in ({"weight_map": {names[0]: "../model-2.safetensors"}}, {}, []):
        index_path.write_text(json.dumps(wrong))
        with pytest.raises(UserError, match="index.json"):
            HuggingFaceReader(folder)


@pytest.mark.parametrize("part", [0, 100, 0.5, -1, "text"])
def test_damaged_safetensors(tmp_path: pathlib.Path, part: float | str) -> None:
    folder = write_folder(tmp_path)
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    size = int(part * len(content)) if isinstance(part, float) else part
    path.write_bytes(b"hello" if isinstance(size, str) else content[:size])
    with pytest.raises(UserError, match="model.safetensors: not a readable safetensors file"):
        HuggingFaceReader(folder)


def test_pytorch_files_in_shards(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = library_tensors()
    expected = HuggingFaceReader(write_folder(tmp_path / "whole", tensors))
    folder = write_folder(tmp_path / "shards", tensors)
    (tmp_path / "shards" / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"pytorch_model-1-of-2.bin": names[:9], "pytorch_model-2-of-2.bin": names[9:]}
    monkeypatch.setattr(
        hugging_face_files,
        "read_torch_file",
        lambda path: {name: tensors[name] for name in parts[pathlib.Path(path).name]},
    )
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    index_file = tmp_path / "shards" / "pytorch_model.bin.index.json"
    index_file.write_text(json.dumps(index))
    assert is_huggingface_folder(folder)
    reader = HuggingFaceReader(folder)
    assert reader.shapes == expected.shapes
    for name in reader.shapes:
        np.testing.assert_array_equal(reader.read(name), expected.read(name))
    index["weight_map"][names[0]] = "model.safetensors"
    index_file.write_text(json.dumps(index))
    with pytest.raises(UserError, match="must give the name of a .bin file for each tensor"):
        HuggingFaceReader(folder)
