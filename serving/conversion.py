"""Conversion of a stored model to another form, complete and compared before it gets its name."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from checkpoints.conversion import (
    label_order,
    read_training_state,
    read_weights,
    reorder_outputs,
)
from checkpoints.formats import StoredWeights, find_weights
from checkpoints.hugging_face import write_huggingface
from checkpoints.model_card import CARD, model_card
from checkpoints.model_folder import check_distinct, write_model_folder
from checkpoints.model_garden import write_model_garden
from checkpoints.model_sources import ModelSources, resolve_model
from checkpoints.tokenizer_files import INFO_FILE
from checkpoints.verification import check_outputs, check_written
from common.atomic import new_folder, write_json, write_text
from common.errors import UserError
from common.outputs import check_folder_apart, checkpoint_file
from modeling.heads import CLASSIFIER_WEIGHTS
from modeling.tokenization import ORIGINAL_SETTINGS
from serving.saved_model import write_classifier_saved_model, write_encoder_saved_model
from training.options import Options


@dataclasses.dataclass(frozen=True)
class ConversionOptions(Options):
    """The flags of `convert_checkpoint.py`."""

    input_path: str = ""
    input_format: str = "auto"
    bert_config_file: str | None = None
    vocab_file: str | None = None
    do_lower_case: bool | None = None
    labels: Sequence[str] | None = None
    output_dir: str = ""
    output_format: str = "tf1"
    include_optimizer: bool = False
    include_tokenizer: bool = True
    pairs: bool | None = None
    max_seq_length: int | None = None
    verify: bool = True


def convert(options: ConversionOptions) -> None:
    """Reads a model, checks it as a whole, and writes it in the form that is asked for.

    Raises:
      UserError: Options or files that the user has to change; nothing is written then.
    """
    stored = _find_model(options)
    sources = resolve_model(
        options.bert_config_file, options.vocab_file, stored.path, options.do_lower_case
    )
    weights = read_weights(stored, sources.config)
    training_state = read_training_state(stored) if options.include_optimizer else {}
    if options.verify and (finding := check_outputs(stored, sources.config, weights)):
        logging.info("Verified: %s.", finding)
    _check_contents(options, stored, sources, weights)
    labels: Sequence[str] | None = sources.labels
    if options.labels:
        check_distinct(options.labels, f"--labels={','.join(options.labels)}")
        order = label_order(weights, labels, options.labels)
        weights = reorder_outputs(weights, order)
        training_state = reorder_outputs(training_state, order)
        labels = options.labels
    with new_folder(options.output_dir) as folder:
        if options.output_format == "saved_model":
            _write_program(options, folder, sources, weights, labels)
        else:
            name = os.path.basename(os.path.normpath(stored.path))
            _write_weights(
                options,
                folder,
                sources,
                weights,
                training_state,
                labels,
                stored.folder,
                name,
            )
        if options.verify:
            for finding in check_written(folder, sources.config, weights):
                logging.info("Verified: %s.", finding)


def _find_model(options: ConversionOptions) -> StoredWeights:
    stored = find_weights(options.input_path, "input_path")
    if options.input_format not in ("auto", stored.form):
        raise UserError(
            f"--input_format={options.input_format}, but {stored.path} has the form {stored.form}; "
            "pass that, or leave the flag out."
        )
    inputs = {"input_path": checkpoint_file(options.input_path)}
    check_folder_apart("output_dir", options.output_dir, inputs)
    return stored


def _check_contents(
    options: ConversionOptions,
    stored: StoredWeights,
    sources: ModelSources,
    weights: Mapping[str, np.ndarray],
) -> None:
    """Refuses what the options ask for and the model has not."""
    if CLASSIFIER_WEIGHTS in weights:
        sources.check_head(stored.path)
    else:
        options.refuse(("pairs", "max_seq_length"), f"{stored.path} holds no classifier")
    if sources.vocab_file is None:
        logging.warning(
            "There is no vocabulary beside %s, so %s gets none; --vocab_file names one.",
            stored.path,
            options.output_dir,
        )
    if options.output_format == "saved_model" and options.include_tokenizer:
        needed = {"vocab_file": sources.tokenizer, "do_lower_case": sources.do_lower_case}
        for flag, value in needed.items():
            if value is None:
                raise UserError(
                    f"--{flag} is not recorded beside {stored.path}; pass it, or "
                    "--noinclude_tokenizer for a SavedModel that takes ids."
                )


def _write_weights(
    options: ConversionOptions,
    folder: str,
    sources: ModelSources,
    weights: Mapping[str, np.ndarray],
    training_state: Mapping[str, np.ndarray],
    labels: Sequence[str] | None,
    source_folder: str,
    converted_from: str,
) -> None:
    config, vocab_file = sources.config, sources.vocab_file
    history: dict[str, Any] = {"converted_from": converted_from}
    if sources.recorded_length:
        history["max_seq_length"] = sources.recorded_length
    if sources.pairs is not None:
        history["pairs"] = sources.pairs
    if sources.lineage:
        history["lineage"] = sources.lineage
    if options.output_format == "hf":
        settings = sources.tokenizer.settings if sources.tokenizer else ORIGINAL_SETTINGS
        length = sources.recorded_length
        write_huggingface(
            folder, weights, config, vocab_file, sources.do_lower_case, labels, settings, length
        )
        facts = {"max_seq_length": length, "do_lower_case": sources.do_lower_case}
        card = model_card(source_folder, weights, config, labels, facts, sources.lineage)
        write_text(os.path.join(folder, CARD), card)
        # The library's files have no place for these.
        write_json(os.path.join(folder, INFO_FILE), history)
        return
    info = {**sources.tokenizer_info(), "labels": labels, **history}
    info = {key: value for key, value in info.items() if value is not None}
    if options.output_format == "tf1":
        write_model_folder(folder, weights, config, vocab_file, info, training_state)
    else:
        write_model_garden(folder, weights, config, vocab_file, info)


def _write_program(
    options: ConversionOptions,
    folder: str,
    sources: ModelSources,
    weights: Mapping[str, np.ndarray],
    labels: Sequence[str] | None,
) -> None:
    if CLASSIFIER_WEIGHTS in weights:
        tokenizer = sources.tokenizer if options.include_tokenizer else None
        write_classifier_saved_model(
            folder,
            weights,
            sources.config,
            tokenizer,
            labels,
            sources.input_length(options.max_seq_length),
            sources.takes_pairs(options.pairs, options.input_path),
        )
        return
    if sources.tokenizer and (other := sources.tokenizer.settings.to_dict()):
        logging.warning(
            "The SavedModel of an encoder holds the vocabulary and the casing, but not these "
            "settings of the tokenizer, which whoever makes its ids has to know: %s.",
            other,
        )
    write_encoder_saved_model(
        folder, weights, sources.config, sources.vocab_file, sources.do_lower_case
    )
