"""The forms a BERT model is stored in, recognised by their files.

    tf1            name-based checkpoint of google-research/bert, released or saved while training
    run            saved state of a run of ours (`training.run_state`)
    hf             folder of the Hugging Face library
    model_garden   object-based checkpoint of TensorFlow Model Garden

Whatever the form, weights are read under the original's names and in its layouts.
"""

from __future__ import annotations

import dataclasses
import os
import re

import tensorflow as tf

from checkpoints.hugging_face import HuggingFaceReader, is_huggingface_folder
from checkpoints.model_garden import ModelGardenReader, is_model_garden_checkpoint
from checkpoints.weights import (
    MODEL_CHECKPOINT,
    CheckpointReader,
    WeightReader,
    checkpoint_shapes,
    is_run_checkpoint,
)
from common.errors import UserError
from common.files import exists, is_folder, list_folder
from common.remote_files import os_errors

# Names of files that are a model, or its weights, to some tool.
_MODEL_FILE = re.compile(
    r".+\.(index|safetensors|h5|msgpack|onnx|tflite)|pytorch_model.*\.bin|saved_model\.pb"
)
# Files in a folder that are a model to other tools, and what to do about them.
_UNREADABLE = {
    "saved_model.pb": "a finished program; give the checkpoint it was exported from",
    "tf_model.h5": "Keras weights of the Hugging Face library, which are not read; save the model as "
    "model.safetensors",
    "flax_model.msgpack": "Flax weights of the Hugging Face library, which are not read; save the "
    "model as model.safetensors",
    "adapter_config.json": "an adapter without its model; merge it into the model and save that",
}

TF1, RUN, HUGGINGFACE, MODEL_GARDEN = "tf1", "run", "hf", "model_garden"


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """A set of stored weights: its file format and its path.

    Attributes:
      form: One of the forms above.
      path: Prefix of a TensorFlow checkpoint, or a Hugging Face folder.
    """

    form: str
    path: str

    @property
    def folder(self) -> str:
        """Folder of the configuration and the vocabulary that belong to the weights."""
        return self.path if self.form == HUGGINGFACE else os.path.dirname(self.path)


def find_weights(path: str, flag: str = "init_checkpoint") -> StoredWeights:
    """The weights that `--init_checkpoint` names.

    Args:
      path: A model folder, the folder of a run, the prefix of a checkpoint, or a Hugging Face folder;
        also one of the files of these. In a folder with several, a finished model comes before
        saved states.
      flag: Name of the flag, for the message.

    Raises:
      UserError: There are no weights, or they are damaged.
    """
    found = _find(path)
    if found is None:
        for name, reason in _UNREADABLE.items():
            if exists(os.path.join(path, name)):
                raise UserError(f"--{flag}={path} holds {name}, {reason}.")
        raise UserError(
            f"--{flag}={path}: no checkpoint found; give a model folder (with "
            f"{MODEL_CHECKPOINT}.index in it), the folder of a run, the prefix of a checkpoint, or a "
            "Hugging Face folder (with config.json and model.safetensors in it)."
        )
    return found


def weights_exist(path: str) -> bool:
    """Whether there are weights at `path` in one of the formats that `find_weights` knows."""
    return _find(path) is not None


def model_file_names(folder: str) -> list[str]:
    """Names of the files in a folder that are a model to some tool, read here or not, in order."""
    names = list_folder(folder) if is_folder(folder) else []
    return sorted(name for name in names if _MODEL_FILE.fullmatch(name))


def open_weights(stored: StoredWeights) -> WeightReader:
    """Read access to stored weights.

    Raises:
      UserError: The files are damaged or hold no weights of a BERT model.
    """
    if stored.form == HUGGINGFACE:
        return HuggingFaceReader(stored.path)
    if stored.form == MODEL_GARDEN:
        return ModelGardenReader(stored.path)
    return CheckpointReader(stored.path)


def _find(path: str) -> StoredWeights | None:
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
    for candidate in (prefix, os.path.join(path, MODEL_CHECKPOINT)):
        if exists(candidate + ".index"):
            return _tensorflow_checkpoint(candidate)
    folder = os.path.dirname(path) if path.endswith((".safetensors", ".bin")) else path
    if is_huggingface_folder(folder):
        return StoredWeights(HUGGINGFACE, folder)
    if not is_folder(path):
        return None
    try:
        with os_errors():
            newest = tf.train.latest_checkpoint(path)
    except ValueError as error:  # UnicodeDecodeError, of the file `checkpoint`.
        raise UserError(
            f"{os.path.join(path, 'checkpoint')} is damaged ({error}); remove it, or give the prefix "
            "of a checkpoint."
        ) from None
    if newest is None:
        # Downloaded checkpoints often come without the `checkpoint` file that names the newest.
        indexes = [name for name in list_folder(path) if name.endswith(".index")]
        if len(indexes) == 1:
            newest = os.path.join(path, indexes[0].removesuffix(".index"))
    return _tensorflow_checkpoint(newest) if newest else None


def _tensorflow_checkpoint(prefix: str) -> StoredWeights:
    keys = checkpoint_shapes(prefix)
    if is_run_checkpoint(keys):
        return StoredWeights(RUN, prefix)
    if is_model_garden_checkpoint(keys):
        return StoredWeights(MODEL_GARDEN, prefix)
    return StoredWeights(TF1, prefix)
