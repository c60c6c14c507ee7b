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

from common.errors import UserError
from common.files import (
    atomic_output,
    exists,
    open_binary,
    read_json,
    sha256_file,
    write_json,
    write_text,
)
from modeling.checkpoints import (
    MODEL_CHECKPOINT,
    find_checkpoint,
    weights_digest,
    write_checkpoint,
)
from modeling.config import BertConfig, load_config
from modeling.tokenization import FullTokenizer

CONFIG_FILE = "bert_config.json"
VOCAB_FILE = "vocab.txt"
INFO_FILE = "model_info.json"


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """A model folder that exists.

    Attributes:
      path: The folder.
      config: Its `bert_config.json`.
      vocab_file: Path of its `vocab.txt`, or None.
      info: Content of `model_info.json`, empty for a folder of another tool.
      checkpoint: Prefix of the weights.
    """

    path: str
    config: BertConfig
    vocab_file: str | None
    info: dict[str, Any]
    checkpoint: str

    @property
    def labels(self) -> list[str] | None:
        """The classifier's labels in the order of its outputs, where they are recorded."""
        return self.info.get("labels")

    @property
    def vocab_sha256(self) -> str | None:
        """Digest of the vocabulary: the recorded one, else that of `vocab.txt`."""
        if "vocab_sha256" in self.info:
            return self.info["vocab_sha256"]
        return sha256_file(self.vocab_file) if self.vocab_file else None

    @property
    def do_lower_case(self) -> bool | None:
        """The casing the model was trained with, where it is recorded."""
        return self.info.get("do_lower_case")


def read_model_folder(path: str) -> ModelFolder:
    """Opens the folder of a model, given by its path or by the prefix of its checkpoint.

    Raises:
      UserError: There is no checkpoint or no `bert_config.json`.
    """
    checkpoint = find_checkpoint(path)
    folder = os.path.dirname(checkpoint)
    config_path = os.path.join(folder, CONFIG_FILE)
    if not exists(config_path):
        raise UserError(
            f"{folder}: no {CONFIG_FILE} beside the checkpoint; a model folder has one."
        )
    vocab_path = os.path.join(folder, VOCAB_FILE)
    info_path = os.path.join(folder, INFO_FILE)
    return ModelFolder(
        path=folder,
        config=load_config(config_path),
        vocab_file=vocab_path if exists(vocab_path) else None,
        info=read_json(info_path) if exists(info_path) else {},
        checkpoint=checkpoint,
    )


def write_model_folder(
    path: str,
    values: Mapping[str, np.ndarray],
    config: BertConfig,
    vocab_file: str | None,
    info: dict[str, Any],
) -> None:
    """Writes a model folder; the checkpoint's index file comes last and makes it one.

    Args:
      path: The folder, made when it does not exist; other files in it are left alone.
      values: The weights by their original names.
      config: The architecture.
      vocab_file: Copied to `vocab.txt`; None leaves the folder without one.
      info: JSON content of `model_info.json`; the digest of the weights is added.
    """
    staging = os.path.join(path, "model.tmp")
    if tf.io.gfile.exists(staging):
        tf.io.gfile.rmtree(staging)
    tf.io.gfile.makedirs(staging)
    write_checkpoint(os.path.join(staging, MODEL_CHECKPOINT), values)
    # From here until the index is back in place the folder is visibly no model.
    index = os.path.join(path, MODEL_CHECKPOINT + ".index")
    if tf.io.gfile.exists(index):
        tf.io.gfile.remove(index)
    write_text(os.path.join(path, CONFIG_FILE), config.to_json())
    target = os.path.join(path, VOCAB_FILE)
    if vocab_file and os.path.abspath(vocab_file) != os.path.abspath(target):
        with (
            open_binary(vocab_file, decompress=False) as source,
            atomic_output(target) as temporary,
            open_binary(temporary, "wb") as copy,
        ):
            copy.write(source.read())
    info = {**info, "weights_sha256": weights_digest(values)}
    write_json(os.path.join(path, INFO_FILE), info)
    for name in sorted(tf.io.gfile.listdir(staging)):  # ".data-..." before ".index"
        tf.io.gfile.rename(os.path.join(staging, name), os.path.join(path, name), overwrite=True)
    tf.io.gfile.rmtree(staging)


@dataclasses.dataclass(frozen=True)
class ModelSources:
    """What a run's flags say about its model, after they were checked against each other.

    Attributes:
      config: The architecture.
      tokenizer: Of the model's vocabulary, None when no vocabulary is known.
      labels: Labels of the classifier that `init_checkpoint` holds, if it is recorded.
    """

    config: BertConfig
    tokenizer: FullTokenizer | None
    labels: list[str] | None

    @property
    def vocab_file(self) -> str | None:
        return self.tokenizer.vocab_file if self.tokenizer else None


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
      do_lower_case: Casing of the run; None to take the model folder's (lower case without one).

    Raises:
      UserError: Something is missing or contradicts the model folder.
    """
    folder = _folder_of(init_checkpoint) if init_checkpoint else None
    if folder:
        if do_lower_case is None:
            do_lower_case = folder.do_lower_case
        if folder.do_lower_case not in (None, do_lower_case):
            raise UserError(
                f"--do_lower_case={do_lower_case}, but {folder.path} was trained with "
                f"do_lower_case={folder.do_lower_case} ({INFO_FILE}); use the same casing."
            )
        vocab_file = vocab_file or folder.vocab_file
    tokenizer = None
    if vocab_file:
        tokenizer = FullTokenizer(vocab_file, do_lower_case=do_lower_case is not False)
    expected = folder.vocab_sha256 if folder else None
    if folder and tokenizer and expected not in (None, tokenizer.sha256):
        raise UserError(
            f"--vocab_file={vocab_file} has SHA-256 {tokenizer.sha256[:12]}..., but the vocabulary "
            f"of {folder.path} has {expected[:12]}...; use the model's own vocabulary."
        )
    vocab_size = tokenizer.vocab_size if tokenizer else None
    if bert_config_file:
        config = load_config(bert_config_file, vocab_size)
    elif folder:
        config = folder.config
    else:
        raise UserError(
            "--bert_config_file is missing, and --init_checkpoint is not a model folder to take it "
            "from; give the model's bert_config.json or the name of a size."
        )
    if vocab_size is not None and config.vocab_size != vocab_size:
        raise UserError(
            f"{vocab_file} has {vocab_size} entries, but the model's vocab_size is "
            f"{config.vocab_size}; use the vocabulary the model was made for."
        )
    return ModelSources(config, tokenizer, folder.labels if folder else None)


def _folder_of(init_checkpoint: str) -> ModelFolder | None:
    """The model folder a checkpoint lies in; None for a checkpoint alone."""
    folder = os.path.dirname(find_checkpoint(init_checkpoint))
    return read_model_folder(init_checkpoint) if exists(os.path.join(folder, CONFIG_FILE)) else None


def resolve_text_model(
    bert_config_file: str | None,
    vocab_file: str | None,
    init_checkpoint: str | None,
    do_lower_case: bool,
    max_seq_length: int,
) -> TextModelSources:
    """`resolve_model` for runs that read text: a vocabulary is needed.

    Raises:
      UserError: As `resolve_model`; there is no vocabulary; too few positions for `max_seq_length`.
    """
    sources = resolve_model(bert_config_file, vocab_file, init_checkpoint, do_lower_case)
    if sources.tokenizer is None:
        raise UserError(
            "--vocab_file is missing, and --init_checkpoint is not a model folder to take it from."
        )
    check_max_seq_length(sources.config, max_seq_length)
    return TextModelSources(sources.config, sources.tokenizer, sources.labels)


def check_labels(recorded: Sequence[str] | None, labels: Sequence[str], source: str) -> None:
    """Raises a UserError when a classifier or its output is for other labels than wanted.

    Args:
      recorded: The labels of `source` in order; None when they are not known.
      labels: The wanted labels in order.
      source: What the labels were recorded for, for the message.
    """
    if recorded is not None and list(recorded) != list(labels):
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
