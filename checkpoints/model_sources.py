"""Configuration, tokenizer and labels of a run's model, from its flags and its model folder."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from checkpoints.formats import find_weights
from checkpoints.initialization import warn_of_assumed_order
from checkpoints.lineage import Lineage
from checkpoints.model_folder import (
    ModelFolder,
    check_distinct,
    read_model_folder,
    tokenizer_info,
)
from checkpoints.tokenizer_files import open_tokenizer_of_file
from common.errors import UserError
from common.files import is_folder, list_folder
from modeling.config import ACTIVATION_FUNCTIONS, CONFIG_FILE, BertConfig, load_config
from modeling.tokenization import ORIGINAL_SETTINGS, FullTokenizer, open_tokenizer
from modeling.vocabulary import (
    TOKENIZER_JSON,
    VOCAB_FILE,
    read_vocabulary,
)

# Of the original's scripts.
DEFAULT_LENGTH = 128
# What a model was trained on, by whether it was pairs.
KINDS_OF_TEXTS = ("single texts", "pairs of texts")
# Names of what is read of the folder of a model, in any form, or of that of a vocabulary.
_READ = re.compile(
    r"(bert_config|config|model_info|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json"
    r"|vocab\.txt|checkpoint|.+\.(index|data-\d+-of-\d+)"
    r"|(pytorch_)?model.*\.(safetensors|bin|index\.json)"
)


@dataclasses.dataclass(frozen=True)
class ModelSources:
    """Description of a run's model, from flags and model folder checked against each other.

    Attributes:
      config: The architecture.
      tokenizer: Of the model's vocabulary, None when no vocabulary is known.
      do_lower_case: Casing as given or recorded, None when it is not known.
      labels: Labels of the classifier that `init_checkpoint` holds, as in `ModelFolder`.
      vocab_sha256: Digest of the vocabulary of `tokenizer`, or a recorded one; None when neither is
        known.
      other_head: As in `ModelFolder`.
      model_max_length: As in `checkpoints.tokenizer_files.TokenizerFiles`.
      recorded_length: A `model_max_length` below the number of positions, else the
        `max_seq_length` of `ModelFolder`.
      pairs: As in `ModelFolder`.
      lineage: As in `ModelFolder`.
    """

    config: BertConfig
    tokenizer: FullTokenizer | None
    do_lower_case: bool | None
    labels: list[str] | None
    vocab_sha256: str | None
    other_head: str | None
    model_max_length: int | None
    recorded_length: int | None
    pairs: bool | None
    lineage: Lineage

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

    def check_pairs(self, are_pairs: bool, source: str, texts: str, way_out: str = "") -> None:
        """`check_pairs` for the model."""
        check_pairs(self.pairs, are_pairs, source, texts, way_out)

    def takes_pairs(self, given: bool | None, source: str) -> bool:
        """Whether a program of the classifier takes pairs of texts: as given, recorded, or else no.

        Raises:
          UserError: The model was trained on the other kind of texts.
        """
        if given is not None and self.pairs not in (None, given):
            raise UserError(
                f"--pairs={str(given).lower()}, but {source} was trained on "
                f"{KINDS_OF_TEXTS[not given]}; leave the flag out."
            )
        return bool(self.pairs if given is None else given)

    def input_length(self, given: int | None, of_records: int | None = None) -> int:
        """The `max_seq_length` of a run; says which and why, where none is given.

        Args:
          given: By the user.
          of_records: Length of records for the model. Without it counts the length that the model,
            or the one that training starts from, was trained with, else the original's default.

        Raises:
          UserError: The model has too few positions, or an input of this length too few tokens.
        """
        length = of_records or self.recorded_length or DEFAULT_LENGTH
        if given is not None:
            length = given
        else:
            if of_records:
                reason = "as in the records"
            elif self.recorded_length:
                reason = "as in the earlier training of the model"
            else:
                reason = "the default, because no model says its own"
                length = min(length, self.config.max_position_embeddings)
            logging.info("--max_seq_length=%d, %s.", length, reason)
        check_max_seq_length(self.config, length)
        if self.model_max_length and length > self.model_max_length:
            logging.warning(
                "--max_seq_length=%d is more than the model_max_length of %d that the model's "
                "tokenizer has; longer texts keep more tokens than there.",
                length,
                self.model_max_length,
            )
        return length

    def tokenizer_info(self) -> dict[str, Any]:
        """Entries of `model_info.json` about the tokenizer, as far as they are known."""
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
        if folder and _says_of_its_tokenizer(folder):
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
    recorded_length = folder.max_seq_length if folder else None
    model_max_length = folder.tokenizer_files.model_max_length if folder else None
    if model_max_length and model_max_length < config.max_position_embeddings:
        recorded_length = model_max_length
    recorded_digest = folder.vocabulary.sha256 if folder and folder.vocabulary else None
    return ModelSources(
        config=config,
        tokenizer=tokenizer,
        do_lower_case=do_lower_case,
        labels=folder.labels if folder else None,
        vocab_sha256=tokenizer.sha256 if tokenizer else recorded_digest,
        other_head=folder.other_head if folder else None,
        model_max_length=model_max_length,
        recorded_length=recorded_length,
        pairs=folder.pairs if folder else None,
        lineage=folder.lineage if folder else (),
    )


def model_files(
    bert_config_file: str | None, vocab_file: str | None, init_checkpoint: str | None
) -> list[str]:
    """The files that a model or a tokenizer is read from, which no output may take the place of.

    Arguments are those of `resolve_model`.

    Raises:
      UserError: There are no weights at `init_checkpoint`.
    """
    files = [path for path in (bert_config_file, vocab_file) if path]
    folders = {os.path.dirname(vocab_file)} if vocab_file else set()
    if init_checkpoint:
        folders.add(find_weights(init_checkpoint).folder)
    for folder in folders:
        names = list_folder(folder or ".") if is_folder(folder or ".") else ()
        files += [os.path.join(folder, name) for name in names if _READ.fullmatch(name)]
    return files


def _says_of_its_tokenizer(folder: ModelFolder) -> bool:
    """Else what lies beside the vocabulary counts, as it does without a folder."""
    files = folder.tokenizer_files
    return bool(
        folder.vocabulary or files.do_lower_case is not None or files.settings != ORIGINAL_SETTINGS
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
) -> TextModelSources:
    """`resolve_model` for runs that read text: a vocabulary is needed.

    Raises:
      UserError: As `resolve_model`; there is no vocabulary.
    """
    sources = resolve_model(bert_config_file, vocab_file, init_checkpoint, do_lower_case)
    if sources.tokenizer is None:
        names = f"{VOCAB_FILE} or {TOKENIZER_JSON}"
        raise UserError(f"--vocab_file is missing, and {_absent(names, init_checkpoint)}.")
    # Text is read in this casing, known or assumed.
    known = {**vars(sources), "do_lower_case": sources.tokenizer.do_lower_case}
    return TextModelSources(**known)


def _absent(name: str, init_checkpoint: str | None) -> str:
    if init_checkpoint:
        return f"there is no {name} beside the weights of {init_checkpoint}"
    return "there is no --init_checkpoint to take it from"


def check_labels(recorded: Sequence[str] | None, labels: Sequence[str], source: str) -> None:
    """Raises a UserError when a classifier or its output is for other labels than wanted.

    Or when a wanted one is there twice.

    Where the labels are not known, a line says which order is assumed.

    Args:
      recorded: The labels of `source` in order, none of a regression; None when they are not known.
      labels: The wanted labels in order, none for a regression.
      source: The model or records that have these labels, for the message.
    """
    check_distinct(labels, f"labels {','.join(labels)}")
    if recorded is None:
        warn_of_assumed_order(source, labels)
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


def check_pairs(
    recorded: bool | None, are_pairs: bool, source: str, texts: str, way_out: str = ""
) -> None:
    """Raises a UserError where a model for pairs is to read single texts, or the other way round.

    Args:
      recorded: Whether the model was trained on pairs of texts; None when it is not known.
      are_pairs: Whether the texts are pairs.
      source: The model, for the message.
      texts: The file of the texts and the columns that are read, for the message.
      way_out: Advice about the texts; by default to name other columns of them.
    """
    if recorded in (None, are_pairs):
        return
    if not way_out:
        way_out = "name the one column of a table to read with --text_a, without --text_b"
        if recorded:
            way_out = "name the two columns of a table with --text_a and --text_b"
    known, found = KINDS_OF_TEXTS[not are_pairs], KINDS_OF_TEXTS[are_pairs]
    raise UserError(
        f"{source} was trained on {known}, but {texts} has {found}; {way_out}, or use a model that "
        f"was trained on {found}."
    )


def check_max_seq_length(config: BertConfig, max_seq_length: int) -> None:
    """Raises a UserError when the model has no positions for inputs of this length.

    Also where the length has no room for [CLS], a token and [SEP].
    """
    if max_seq_length < 3:
        raise UserError(
            f"--max_seq_length={max_seq_length} is less than the 3 tokens of the shortest input, of "
            "which two are [CLS] and [SEP]; pass 3 or more."
        )
    if max_seq_length > config.max_position_embeddings:
        raise UserError(
            f"--max_seq_length={max_seq_length} is more than the model's "
            f"max_position_embeddings of {config.max_position_embeddings}."
        )
