"""BERT models of the Hugging Face library: folders read and written, without PyTorch.

    config.json   model.safetensors   vocab.txt   tokenizer_config.json   tokenizer.json

Other names stand there for the same tensors, dense kernels are stored transposed, and "gelu" means
the exact (erf) form. Names, keys and defaults are those of `models/bert` in transformers 4 and 5.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from checkpoints.hugging_face_config import (
    ACTIVATIONS,
    CLASSIFIER,
    CONFIG,
    FIXED,
    classifier_values,
    may_have_classifier,
    read_huggingface_config,
    read_object,
    without_library_keys,
)
from checkpoints.hugging_face_files import (
    SAFETENSORS,
    TORCH,
    StoredTensor,
    stored_tensors,
    weights_file_name,
)
from checkpoints.tokenizer_files import library_settings, library_tokenizer
from common.atomic import new_folder, write_json
from common.errors import UserError
from common.files import exists, open_binary
from modeling.config import ACTIVATION_FUNCTIONS, BertConfig
from modeling.tokenization import ORIGINAL_SETTINGS, FullTokenizer, TokenizerSettings
from modeling.vocabulary import TOKENIZER_JSON, VOCAB_FILE, copy_vocabulary

_TOKENIZER_CONFIG = "tokenizer_config.json"

## Names

_LAYER = "bert/encoder/layer_{}/"
_EMBEDDINGS = tuple(
    f"bert/embeddings/{kind}_embeddings" for kind in ("word", "position", "token_type")
)
_DENSE_MODULES = (
    *(f"{_LAYER}attention/self/{part}" for part in ("query", "key", "value")),
    _LAYER + "attention/output/dense",
    _LAYER + "intermediate/dense",
    _LAYER + "output/dense",
    "bert/pooler/dense",
    "cls/predictions/transform/dense",
)
_NORM_MODULES = (
    "bert/embeddings/LayerNorm",
    _LAYER + "attention/output/LayerNorm",
    _LAYER + "output/LayerNorm",
    "cls/predictions/transform/LayerNorm",
)


def _dotted(module: str) -> str:
    return module.replace("layer_", "layer.").replace("/", ".")


# Original name -> name in the library, {} for the number of the layer.
_NAMES = {
    **{name: _dotted(name) + ".weight" for name in _EMBEDDINGS},
    **{f"{module}/kernel": _dotted(module) + ".weight" for module in _DENSE_MODULES},
    **{f"{module}/bias": _dotted(module) + ".bias" for module in _DENSE_MODULES},
    **{f"{module}/gamma": _dotted(module) + ".weight" for module in _NORM_MODULES},
    **{f"{module}/beta": _dotted(module) + ".bias" for module in _NORM_MODULES},
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
}
_ORIGINAL_NAMES = {library: original for original, library in _NAMES.items()}
_LAYER_NUMBER = re.compile(r"(?<=encoder/layer_)[0-9]+|(?<=encoder\.layer\.)[0-9]+")


def _is_transposed(original_name: str) -> bool:
    """Whether the library has a tensor in the other layout, [out, in]."""
    return original_name.endswith("/kernel")


# The library's classes that have a place in an original checkpoint, and what belongs to each besides
# embeddings and layers; a model is of the first class all of whose parts it has. BertModel also
# stands for a model without any part.
_ARCHITECTURES = {
    "BertForSequenceClassification": ("bert/pooler/", "output_"),
    "BertForQuestionAnswering": ("cls/squad/",),
    "BertForPreTraining": ("bert/pooler/", "cls/predictions/", "cls/seq_relationship/"),
    "BertForMaskedLM": ("cls/predictions/",),
    "BertForNextSentencePrediction": ("bert/pooler/", "cls/seq_relationship/"),
    "BertModel": ("bert/pooler/",),
}
_ENCODER_ALONE = "BertModel"
# BertModel's own names lack the prefix that it has as a part of the others.
_PREFIX = "bert."

# Tensors that repeat another one of the file, and constants.
_TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
_CONSTANTS = ("bert.embeddings.position_ids",)


def is_huggingface_folder(path: str) -> bool:
    return exists(os.path.join(path, CONFIG)) and weights_file_name(path) is not None


class HuggingFaceReader:
    """The weights of a Hugging Face folder: a `checkpoints.weights.WeightReader`.

    Copies of tied weights and constants are left out. A tensor that has no place in an original
    checkpoint keeps its name and layout.

    Args:
      folder: The folder.

    Raises:
      UserError: The files are damaged, the model is no BERT, a tensor is there twice, or the labels
        are not as many as the outputs of the classifier.
    """

    def __init__(self, folder: str):
        labels = read_huggingface_config(folder).labels
        config_path = os.path.join(folder, CONFIG)
        has_classifier = may_have_classifier(read_object(config_path))
        weights_file = weights_file_name(folder)
        if weights_file is None:
            raise UserError(f"{folder}: neither {SAFETENSORS} nor {TORCH} is in the folder.")
        self.source = os.path.join(folder, weights_file)
        stored = stored_tensors(self.source)
        by_full_name: dict[str, StoredTensor] = {}
        for name, tensor in stored.items():
            if by_full_name.setdefault(_full_name(name), tensor) is not tensor:
                raise UserError(f"{self.source}: tensor {name} is there under two names.")
        self._tied: dict[str, tuple[str, StoredTensor]] = {}
        for copy, tied_to in _TIED.items():
            if copy in by_full_name:
                tensor = by_full_name.pop(copy)
                by_full_name.setdefault(tied_to, tensor)
                self._tied[_ORIGINAL_NAMES[tied_to]] = copy, tensor
        self._tensors: dict[str, StoredTensor] = {}
        for name, tensor in by_full_name.items():
            if name not in _CONSTANTS:
                original = _translated(name, _ORIGINAL_NAMES)
                if original in ("output_weights", "output_bias") and not has_classifier:
                    original = None
                self._tensors[original or name] = tensor
        self.shapes = {
            name: tensor.shape[::-1] if _is_transposed(name) else tensor.shape
            for name, tensor in self._tensors.items()
        }
        outputs = self.shapes.get("output_bias")
        if labels and outputs not in (None, (len(labels),)):
            raise UserError(
                f"{config_path}: id2label has {len(labels)} labels, but output_bias in {self.source} "
                f"has shape {list(outputs or ())}; they are not of the same model."
            )

    def read(self, name: str) -> np.ndarray:
        """The float32 value of one variable, in the original's layout.

        Raises:
          UserError: The data is damaged or not of a floating-point type, or a tensor that the
            library ties to this one has other values.
        """
        tensor = self._tensors[name]
        value = self._read(name, tensor)
        if name in self._tied:
            copy_name, copy = self._tied[name]
            if copy is not tensor and not np.array_equal(self._read(copy_name, copy), value):
                raise UserError(
                    f"{self.source}: {copy_name} has other values than {_NAMES[name]}, to which the "
                    "original ties it; a model with a decoder of its own cannot be converted."
                )
        return np.ascontiguousarray(value.T) if _is_transposed(name) else value

    def _read(self, name: str, tensor: StoredTensor) -> np.ndarray:
        try:
            value = tensor.read()
        except Exception as error:  # safetensors has an exception type for each damage.
            raise UserError(f"{self.source}: tensor {name} is damaged ({error}).") from error
        if value.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
            raise UserError(
                f"{self.source}: the tensor of {name} has the type {value.dtype.name}, expected "
                "floating-point numbers; quantized models cannot be read."
            )
        return value.astype(np.float32)


def write_huggingface(
    folder: str,
    weights: Mapping[str, np.ndarray],
    config: BertConfig,
    vocab_file: str | None,
    do_lower_case: bool | None,
    labels: Sequence[str] | None,
    settings: TokenizerSettings = ORIGINAL_SETTINGS,
    max_seq_length: int | None = None,
) -> None:
    """Writes a model as the library's class for its heads; what has no place there is logged.

    The library's tokenizer gives the original's ids, but for these differences of its own: words of
    101 to 200 characters are [UNK], "[MASK]" and the like in a text are special tokens, a capital
    sigma at the end of a word becomes another letter, and its Unicode tables are older.

    Args:
      folder: The folder, which must be new or empty. It appears when it is complete.
      weights: float32 arrays by the original's names and in its layouts.
      config: The architecture.
      vocab_file: Copied to `vocab.txt`; None leaves the folder without one.
      do_lower_case: Casing of the tokenizer; None leaves it to the library's default (lower case).
      labels: Labels of the classifier in the order of its outputs. Without them its outputs are
        numbered, and a single output is a regression.
      settings: Of the tokenizer; words of more than 100 characters are [UNK] in any case.
      max_seq_length: Length to which the tokenizer cuts texts; by default the model's longest.

    Raises:
      UserError: The folder has something in it or cannot be written, or the number of labels is
        not that of the outputs.
    """
    from safetensors.numpy import save

    architecture = _architecture(weights)
    tensors, left_out = {}, []
    for name, value in weights.items():
        library_name = _translated(name, _NAMES)
        if library_name is None or not _belongs(name, architecture):
            left_out.append(name)
            continue
        if architecture == _ENCODER_ALONE:
            library_name = library_name.removeprefix(_PREFIX)
        tensors[library_name] = np.ascontiguousarray(
            value.T if _is_transposed(name) else value, np.float32
        )
    if left_out:
        names = ", ".join(sorted(left_out))
        logging.info("Left out, because %s has no place for them: %s", architecture, names)
    with new_folder(folder) as staging:
        with open_binary(os.path.join(staging, SAFETENSORS), "wb") as file:
            file.write(save(tensors, metadata={"format": "pt"}))
        write_configuration(
            staging,
            weights,
            config,
            vocab_file,
            do_lower_case,
            labels,
            settings,
            max_seq_length,
        )


def write_configuration(
    folder: str,
    weights: Mapping[str, np.ndarray],
    config: BertConfig,
    vocab_file: str | None,
    do_lower_case: bool | None,
    labels: Sequence[str] | None,
    settings: TokenizerSettings = ORIGINAL_SETTINGS,
    max_seq_length: int | None = None,
) -> None:
    """Writes the library's files of a model but for its weights; arguments as `write_huggingface`."""
    architecture = _architecture(weights)
    function = ACTIVATION_FUNCTIONS[config.hidden_act]
    tokenizer = None
    if vocab_file:
        tokenizer = FullTokenizer(vocab_file, do_lower_case is not False, settings)
    config_values = {
        **without_library_keys(config.to_dict()),
        **FIXED,
        "architectures": [architecture],
        "hidden_act": next(word for word, theirs in ACTIVATIONS.items() if theirs == function),
        "layer_norm_eps": config.layer_norm_eps,
        "classifier_dropout": config.classifier_dropout,
        "pad_token_id": tokenizer.pad_id if tokenizer else 0,
    }
    if architecture == CLASSIFIER:
        config_values.update(classifier_values(len(weights["output_bias"]), labels))
    tokenizer_values: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "model_max_length": max_seq_length or config.max_position_embeddings,
        **library_settings(settings),
    }
    if do_lower_case is not None:
        tokenizer_values["do_lower_case"] = do_lower_case
    if tokenizer:
        copy_vocabulary(tokenizer.vocab_file, os.path.join(folder, VOCAB_FILE))
        if do_lower_case is not None:
            write_json(os.path.join(folder, TOKENIZER_JSON), library_tokenizer(tokenizer))
    write_json(os.path.join(folder, _TOKENIZER_CONFIG), tokenizer_values)
    # Last: where a folder is not renamed as a whole (gs://), this makes it a model.
    write_json(os.path.join(folder, CONFIG), config_values)


def _full_name(name: str) -> str:
    """A library name as today's models with heads have it.

    BertModel alone lacks the prefix, and names from before 2020 end as the original's do.
    """
    if name.startswith(("embeddings.", "encoder.", "pooler.")):
        name = _PREFIX + name
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def _translated(name: str, table: Mapping[str, str]) -> str | None:
    """The other side's name for a tensor, None where it has no place for it."""
    number = _LAYER_NUMBER.search(name)
    if number is None:
        return table.get(name)
    template = table.get(name[: number.start()] + "{}" + name[number.end() :])
    return template and template.format(number[0])


def _architecture(weights: Mapping[str, np.ndarray]) -> str:
    """Name of the library's class for what a model has."""
    for architecture, parts in _ARCHITECTURES.items():
        if all(any(name.startswith(part) for name in weights) for part in parts):
            return architecture
    return _ENCODER_ALONE


def _belongs(name: str, architecture: str) -> bool:
    return name.startswith(("bert/embeddings/", "bert/encoder/", *_ARCHITECTURES[architecture]))
