"""A model folder: what leaves every run and what every BERT tool looks for.

    bert_config.json   vocab.txt   bert_model.ckpt.index   bert_model.ckpt.data-00000-of-00001
    model_info.json    casing, labels, digests and how the model was made; other tools ignore it

The first three are those of the released archives (google-research/bert, 24 smaller models).
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from checkpoints.formats import HUGGINGFACE, StoredWeights, find_weights
from checkpoints.hugging_face import read_huggingface_config
from checkpoints.initialization import say_assumed_order
from checkpoints.tokenizer_files import (
    INFO_FILE,
    TokenizerFiles,
    find_vocabulary,
    open_tokenizer_of_file,
    read_tokenizer_files,
)
from checkpoints.weights import MODEL_CHECKPOINT, weights_digest, write_checkpoint
from common.errors import UserError
from common.files import (
    atomic_files,
    exists,
    sha256_file,
    write_json,
    write_text,
)
from common.json_objects import BOOLEAN, COUNT, TEXT, TEXTS, Kind, read_object
from modeling.config import ACTIVATION_FUNCTIONS, CONFIG_FILE, BertConfig, load_config
from modeling.tokenization import FullTokenizer, open_tokenizer
from modeling.vocabulary import (
    TOKENIZER_JSON,
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
}


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """The folder of a model, in any of the forms of `checkpoints.formats`.

    Attributes:
      path: The folder.
      weights: Where in it the weights are.
      config: The architecture.
      vocab_file: Path of its `vocab.txt` or `tokenizer.json`, or None.
      vocabulary: The vocabulary the model was made with, as recorded, else that of `vocab.txt`.
      do_lower_case: The casing the model was trained with, where it is recorded.
      tokenizer_files: What else is recorded of its tokenizer.
      labels: The classifier's labels in the order of its outputs; none if it is a regression model,
        and None where nothing is recorded.
      other_head: What the classifier is for, where that is no task of ours.
      global_step: Number of updates the model has had, 0 where it is not recorded.
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


def read_model_folder(weights: StoredWeights) -> ModelFolder | None:
    """What stands beside weights; None for a checkpoint without a configuration.

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
    elif exists(os.path.join(folder, CONFIG_FILE)):
        config = load_config(os.path.join(folder, CONFIG_FILE))
        labels = info.get("labels")
    else:
        return None
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
        global_step=info.get("global_step") or 0,
    )


def _known_vocabulary(
    folder: str, vocab_file: str | None, info: Mapping[str, Any]
) -> KnownVocabulary | None:
    """What `vocab.txt` and `model_info.json` say of the vocabulary a model was made with."""
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
    """What `model_info.json` says of a model's tokenizer."""
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


@dataclasses.dataclass(frozen=True)
class ModelSources:
    """What a run's flags say about its model, after they were checked against each other.

    Attributes:
      config: The architecture.
      tokenizer: Of the model's vocabulary, None when no vocabulary is known.
      do_lower_case: Casing as given or recorded, None when it is not known.
      labels: Of the classifier that `init_checkpoint` holds, as in `ModelFolder`.
      vocab_sha256: Digest of the vocabulary, of that of `tokenizer` or a recorded one; None when
        nothing is known.
      other_head: As in `ModelFolder`.
      model_max_length: As in `checkpoints.tokenizer_files.TokenizerFiles`.
    """

    config: BertConfig
    tokenizer: FullTokenizer | None
    do_lower_case: bool | None
    labels: list[str] | None
    vocab_sha256: str | None
    other_head: str | None
    model_max_length: int | None

    @property
    def vocab_file(self) -> str | None:
        return self.tokenizer.vocab_file if self.tokenizer else None

    def check_head(self, source: str) -> None:
        """Raises a UserError when the classifier is for no task of ours."""
        if self.other_head:
            raise UserError(
                f"The classifier of {source} is for {self.other_head}, which is no task here; only "
                "its encoder can be used, to train a new classifier (run_classifier.py)."
            )

    def check_labels(self, labels: Sequence[str], source: str) -> None:
        """`check_labels` for the model; also raises one when its classifier is of no kind of ours."""
        self.check_head(source)
        check_labels(self.labels, labels, source)

    def tokenizer_info(self) -> dict[str, Any]:
        """What `model_info.json` is to say of the tokenizer, as far as it is known."""
        info = tokenizer_info(self.tokenizer) if self.tokenizer else {}
        info |= {"do_lower_case": self.do_lower_case, "vocab_sha256": self.vocab_sha256}
        return {key: value for key, value in info.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class TextModelSources(ModelSources):
    """`ModelSources` with a vocabulary."""

    tokenizer: FullTokenizer

    @property
    def vocab_file(self) -> str:
        return self.tokenizer.vocab_file


def resolve_model(
    bert_config_file: str | None,
    vocab_file: str | None,
    init_checkpoint: str | None,
    do_lower_case: bool | None,
) -> ModelSources:
    """Puts `--bert_config_file`, `--vocab_file` and `--init_checkpoint` together.

    What is not given is taken from the model folder of the checkpoint; what is given must not
    contradict it.

    Args:
      bert_config_file: Path or name of a size, or None.
      vocab_file: Path or None.
      init_checkpoint: Model folder or checkpoint, or None.
      do_lower_case: Casing of the run; None to take the model folder's, else the vocabulary's.

    Raises:
      UserError: Something is missing or contradicts the model folder.
    """
    folder = read_model_folder(find_weights(init_checkpoint)) if init_checkpoint else None
    recorded = folder.do_lower_case if folder else None
    if folder:
        if None not in (do_lower_case, recorded) and do_lower_case != recorded:
            raise UserError(
                f"This run has do_lower_case={do_lower_case}, but {folder.path} was trained with "
                f"do_lower_case={recorded}; use the same casing."
            )
        vocab_file = vocab_file or folder.vocab_file
    if do_lower_case is None:
        do_lower_case = recorded
    tokenizer = None
    if vocab_file:
        if folder and folder.vocabulary:
            folder.vocabulary.check(read_vocabulary(vocab_file), vocab_file)
        if folder:
            settings = folder.tokenizer_files.settings
            tokenizer = open_tokenizer(vocab_file, do_lower_case, recorded, settings)
        else:
            tokenizer = open_tokenizer_of_file(vocab_file, do_lower_case)
        if do_lower_case is None and not tokenizer.do_lower_case:
            do_lower_case = False  # The vocabulary is a cased one.
    vocab_size = tokenizer.vocab_size if tokenizer else None
    if bert_config_file:
        config = load_config(bert_config_file, vocab_size)
    elif folder:
        config = folder.config
    else:
        raise UserError(
            f"--bert_config_file is missing, and {_absent(CONFIG_FILE, init_checkpoint)}; give the "
            "model's bert_config.json or the name of a size."
        )
    if folder:
        _check_same_function(config, folder)
    if vocab_size is not None and config.vocab_size != vocab_size:
        raise UserError(
            f"{vocab_file} has {vocab_size} entries, but the model's vocab_size is "
            f"{config.vocab_size}; use the vocabulary the model was made for."
        )
    recorded_digest = folder.vocabulary.sha256 if folder and folder.vocabulary else None
    return ModelSources(
        config=config,
        tokenizer=tokenizer,
        do_lower_case=do_lower_case,
        labels=folder.labels if folder else None,
        vocab_sha256=tokenizer.sha256 if tokenizer else recorded_digest,
        other_head=folder.other_head if folder else None,
        model_max_length=folder.tokenizer_files.model_max_length if folder else None,
    )


def _check_same_function(config: BertConfig, folder: ModelFolder) -> None:
    """Differences that no shape of a variable shows: the same weights, another function."""
    for key in ("hidden_act", "num_attention_heads", "layer_norm_eps"):
        wanted, found = getattr(config, key), getattr(folder.config, key)
        if key == "hidden_act":
            same = ACTIVATION_FUNCTIONS[wanted] == ACTIVATION_FUNCTIONS[found]
        else:
            same = wanted == found
        if config.hidden_size == folder.config.hidden_size and not same:
            raise UserError(
                f"--bert_config_file has {key} {wanted}, but the weights of {folder.path} were made "
                f"with {found}; leave the flag out to take the configuration of the checkpoint."
            )


def resolve_text_model(
    bert_config_file: str | None,
    vocab_file: str | None,
    init_checkpoint: str | None,
    do_lower_case: bool | None,
    max_seq_length: int,
) -> TextModelSources:
    """`resolve_model` for runs that read text: a vocabulary is needed.

    Raises:
      UserError: As `resolve_model`; there is no vocabulary; too few positions for `max_seq_length`.
    """
    sources = resolve_model(bert_config_file, vocab_file, init_checkpoint, do_lower_case)
    if sources.tokenizer is None:
        names = f"{VOCAB_FILE} or {TOKENIZER_JSON}"
        raise UserError(f"--vocab_file is missing, and {_absent(names, init_checkpoint)}.")
    check_max_seq_length(sources.config, max_seq_length)
    if sources.model_max_length and max_seq_length > sources.model_max_length:
        logging.warning(
            "--max_seq_length=%d is more than the model_max_length of %d that the tokenizer of %s "
            "has; longer texts keep more tokens than there.",
            max_seq_length,
            sources.model_max_length,
            init_checkpoint,
        )
    # Text is read in this casing, known or assumed.
    known = {**vars(sources), "do_lower_case": sources.tokenizer.do_lower_case}
    return TextModelSources(**known)


def _absent(name: str, init_checkpoint: str | None) -> str:
    if init_checkpoint:
        return f"there is no {name} beside the weights of {init_checkpoint}"
    return "there is no --init_checkpoint to take it from"


def check_labels(recorded: Sequence[str] | None, labels: Sequence[str], source: str) -> None:
    """Raises a UserError when a classifier or its output is for other labels than wanted.

    Where the labels are not known, a line says which order is assumed.

    Args:
      recorded: The labels of `source` in order, none of a regression; None when they are not known.
      labels: The wanted labels in order, none for a regression.
      source: What the labels were recorded for, for the message.
    """
    if recorded is None:
        say_assumed_order(source, labels)
        return
    if list(recorded) == list(labels):
        return
    if not recorded or not labels:
        kinds = [
            f"a classification with the labels {', '.join(names)}"
            if names
            else "a regression (a score, no labels)"
            for names in (recorded, labels)
        ]
        raise UserError(
            f"{source} was made for {kinds[0]}, this run is {kinds[1]}; both must be of one kind."
        )
    raise UserError(
        f"{source} was made for the labels {', '.join(recorded)}, this run has "
        f"{', '.join(labels)}; both must be the same, in the same order."
    )


def check_max_seq_length(config: BertConfig, max_seq_length: int) -> None:
    """Raises a UserError when the model has no positions for inputs of this length."""
    if max_seq_length > config.max_position_embeddings:
        raise UserError(
            f"--max_seq_length={max_seq_length} is more than the model's "
            f"max_position_embeddings of {config.max_position_embeddings}."
        )
