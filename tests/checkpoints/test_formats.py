"""What a folder is taken for, by its files."""

from __future__ import annotations

import pathlib

import pytest

from checkpoints.formats import find_weights, weights_exist
from common.errors import UserError


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("saved_model.pb", "a finished program; give the checkpoint it was exported from"),
        ("tf_model.h5", "Keras weights of the Hugging Face library, .* as model.safetensors"),
        ("flax_model.msgpack", "Flax weights .* save the model as model.safetensors"),
        ("adapter_config.json", "an adapter without its model; merge it"),
    ],
)
def test_models_of_other_tools_are_refused_by_name(
    tmp_path: pathlib.Path, name: str, reason: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    assert not weights_exist(str(tmp_path))
    with pytest.raises(UserError, match=f"--init_checkpoint={tmp_path} holds {name}, {reason}"):
        find_weights(str(tmp_path))


def test_an_empty_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--teacher=.* no checkpoint found; give a model folder"):
        find_weights(str(tmp_path), "teacher")
