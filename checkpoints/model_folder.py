"""A model folder: what leaves every run and what every BERT tool looks for.

    bert_config.json   vocab.txt   bert_model.ckpt.index   bert_model.ckpt.data-00000-of-00001
    model_info.json    casing, labels, digests and how the model was made; other tools ignore it

The first three are those of the released archives (google-research/bert, 24 smaller models).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from checkpoints.formats import HUGGINGFACE, StoredWeights
from checkpoints.hugging_face_config import CONFIG, read_huggingface_config
from checkpoints.lineage import STAGES, Lineage, lineage_of
from checkpoints.tokenizer_files import (
    INFO_FILE,
    TokenizerFiles,
    find_vocabulary,
    read_tokenizer_files,
)
from checkpoints.weights import MODEL_CHECKPOINT, weights_digest, write_checkpoint
from common.atomic import atomic_files, write_json, write_text
from common.errors import UserError
from common.files import exists, sha256_file
from common.json_objects import BOOLEAN, COUNT, OBJECT, TEXT, TEXTS, Kind, read_object
from modeling.config import CONFIG_FILE, BertConfig, load_config
from modeling.tokenization import FullTokenizer
from modeling.vocabulary import (
    VOCAB_FILE,
    KnownVocabulary,
    copy_vocabulary,
    read_vocabulary,
    unused_places,
    vocabulary_digest,
)

# What is read of it.
_PLACES = Kind(
    "a list of triples of whole numbers",
    lambda value: (
        isinstance(value, list)
        and all(isinstance(row, list) and list(map(type, row)) == [int] * 3 for row in value)
    ),
)
_INFO_KINDS = {
    "labels": TEXTS,
    "do_lower_case": BOOLEAN,
    "vocab_sha256": TEXT,
    "vocab_unused": _PLACES,
    "global_step": COUNT,
    "max_seq_length": COUNT,
    "pairs": BOOLEAN,
    "flags": OBJECT,
    "made_from": OBJECT,
    "lineage": STAGES,
}


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """The folder of a model, in any of the forms of `checkpoints.formats`.

    Attributes:
      path: The folder.
      weights: The weights in it.
      config: The architecture.
      vocab_file: Path of its `vocab.txt` or `tokenizer.json`, or None.
      vocabulary: The vocabulary the model was made with, as recorded, else that of `vocab.txt`.
      do_lower_case: The casing the model was trained with, where it is recorded.
      tokenizer_files: Recorded settings of its tokenizer.
      labels: The classifier's labels in the order of its outputs; none if it is a regression model,
        and None where nothing is recorded.
      other_head: Purpose of a classifier for a kind of task that is not ours.
      global_step: Number of updates the model has had, 0 where it is not recorded.
      max_seq_length: Length of the inputs it was trained with, None where it is not recorded.
      pairs: Whether its classifier was trained on pairs of texts, None where it is not recorded.
      lineage: Its trainings, as far as they are recorded.
    """

    path: str
    weights: StoredWeights
    config: BertConfig
    vocab_file: str | None
    vocabulary: KnownVocabulary | None
    do_lower_case: bool | None
    tokenizer_files: TokenizerFiles
    labels: list[str] | None
    other_head: str | None
    global_step: int
    max_seq_length: int | None
    pairs: bool | None
    lineage: Lineage


def read_model_folder(weights: StoredWeights) -> ModelFolder | None:
    """Reads the files beside weights; returns None for a checkpoint without a configuration.

    Raises:
      UserError: A file in the folder is damaged or is for another kind of model.
    """
    folder = weights.folder
    vocab_file = find_vocabulary(folder)
    tokenizer_files = read_tokenizer_files(folder)
    other_head = None
    info_path = os.path.join(folder, INFO_FILE)
    info = read_object(info_path, _INFO_KINDS) if exists(info_path) else {}
    if weights.form == HUGGINGFACE:
        description = read_huggingface_config(folder)
        config, labels, other_head = description.config, description.labels, description.other_head
        labels_path = os.path.join(folder, CONFIG)
    elif exists(os.path.join(folder, CONFIG_FILE)):
        config = load_config(os.path.join(folder, CONFIG_FILE))
        labels, labels_path = info.get("labels"), info_path
    else:
        return None
    check_distinct(labels or (), labels_path)
    lineage = lineage_of(info)
    return ModelFolder(
        path=folder,
        weights=weights,
        config=config,
        vocab_file=vocab_file,
        vocabulary=_known_vocabulary(folder, vocab_file, info),
        do_lower_case=tokenizer_files.do_lower_case,
        tokenizer_files=tokenizer_files,
        labels=labels,
        other_head=other_head,
        global_step=lineage[-1].get("updates", 0) if lineage else info.get("global_step") or 0,
        max_seq_length=_recorded_length(info_path, info),
        pairs=_recorded_pairs(info),
        lineage=lineage,
    )


def check_distinct(labels: Sequence[str], source: str) -> None:
    """Raises a UserError, which begins with `source`, when outputs of a classifier share a label."""
    if len(set(labels)) == len(labels):
        return
    for label in labels:
        places = [str(i) for i, other in enumerate(labels) if other == label]
        if len(places) > 1:
            raise UserError(
                f'{source}: the label "{label}" is that of the outputs {", ".join(places)}; give '
                "each output a label of its own."
            )


def _recorded_length(path: str, info: Mapping[str, Any]) -> int | None:
    """Of its own in a converted model, and among the flags of a run."""
    length = info.get("max_seq_length") or (info.get("flags") or {}).get("max_seq_length")
    if length is not None and not COUNT.fits(length):
        raise UserError(f'{path}: "max_seq_length" is {length!r:.40}, expected {COUNT.name}.')
    return length


def _recorded_pairs(info: Mapping[str, Any]) -> bool | None:
    """Earlier versions recorded the columns of tables of one's own alone."""
    flags = info.get("flags") or {}
    if info.get("pairs") is None and flags.get("text_a"):
        return flags.get("text_b") is not None
    return info.get("pairs")


def _known_vocabulary(
    folder: str, vocab_file: str | None, info: Mapping[str, Any]
) -> KnownVocabulary | None:
    """The vocabulary a model was made with, as `vocab.txt` and `model_info.json` record it."""
    recorded = info.get("vocab_sha256")
    if vocab_file is None:
        return KnownVocabulary(folder, recorded, info.get("vocab_unused")) if recorded else None
    tokens = read_vocabulary(vocab_file)
    # Earlier versions recorded the digest of the file.
    if recorded in (None, vocabulary_digest(tokens), sha256_file(vocab_file)):
        return KnownVocabulary(folder, vocabulary_digest(tokens), unused_places(tokens), tokens)
    # The file has been changed since.
    return KnownVocabulary(folder, recorded, info.get("vocab_unused"))


def tokenizer_info(tokenizer: FullTokenizer) -> dict[str, Any]:
    """Entries of `model_info.json` that describe a model's tokenizer."""
    info: dict[str, Any] = {
        "do_lower_case": tokenizer.do_lower_case,
        "vocab_sha256": tokenizer.sha256,
        "vocab_unused": unused_places(tokenizer.tokens),
    }
    if settings := tokenizer.settings.to_dict():
        info["tokenizer_settings"] = settings
    return info


def write_model_folder(
    path: str,
    values: Mapping[str, np.ndarray],
    config: BertConfig,
    vocab_file: str | None,
    info: dict[str, Any],
    training_state: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes a model folder; the checkpoint's index file comes last and makes it one.

    All files are complete before the first of an earlier model is replaced.

    Args:
      path: The folder, made when it does not exist; other files in it are left alone.
      values: The weights by their original names.
      config: The architecture.
      vocab_file: Copied to `vocab.txt`; None leaves the folder without one.
      info: JSON content of `model_info.json`; the digest of the weights is added and, where there
        are `labels`, whether the model is a regression: it is if the list is empty.
      training_state: Adam moments and `global_step`, stored beside the weights for scripts of the
        original to go on training with this folder as their --output_dir.

    Raises:
      UserError: The disk is full, or the folder cannot be written; an earlier model stays.
    """
    with atomic_files(path, last=f"{MODEL_CHECKPOINT}.index") as folder:
        values_and_state = {**values, **(training_state or {})}
        write_checkpoint(os.path.join(folder, MODEL_CHECKPOINT), values_and_state)
        write_text(os.path.join(folder, CONFIG_FILE), config.to_json())
        if vocab_file:
            copy_vocabulary(vocab_file, os.path.join(folder, VOCAB_FILE))
        if (labels := info.get("labels")) is not None:
            info = {**info, "is_regression": not labels}
        info = {**info, "weights_sha256": weights_digest(values)}
        write_json(os.path.join(folder, INFO_FILE), info)
        if training_state:
            # An Estimator goes on from the checkpoint that this file names.
            state = tf.compat.v1.train.generate_checkpoint_state_proto(
                path, MODEL_CHECKPOINT, all_model_checkpoint_paths=[MODEL_CHECKPOINT]
            )
            write_text(os.path.join(folder, "checkpoint"), str(state))
