"""A fine-tuned teacher labels a transfer set: the soft labels that students learn from."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from checkpoints.model_sources import TextModelSources, check_labels, resolve_text_model
from checkpoints.weights import variable_values, weights_digest
from classification.own_tables import check_label_flags
from classification.task import Task
from classification.tasks import get_task
from common.chunks import chunks
from common.errors import UserError
from common.input_files import expand_globs
from common.outputs import check_folder_apart, checkpoint_file, lock_folder
from data.classifier_records import encode_rows, num_outputs
from data.texts import is_source_name, read_transfer_texts
from distillation.patience import parse_layers, teacher_outputs
from distillation.soft_labels import (
    TransferDigest,
    TransferExample,
    check_earlier_shards,
    check_pairs,
    examples_digest,
    is_finished,
    remove_manifest,
    shard_path,
    unfinished_shards,
    write_manifest,
    write_shard,
)
from modeling.heads import ClassifierModel
from serving.engine import Engine
from training.devices import describe_devices
from training.options import TASK_FLAGS, DeviceOptions, ModelOptions, TaskOptions
from training.reporting import describe_model, log_summary
from training.strategy import (
    check_batch_size,
    chief_value,
    create_strategy,
    is_chief,
)
from training.trained_models import load_trained_weights, software_versions

# Where the texts come from and how they are cut into files, for the record.
_RECORDED = ("input_file", *TASK_FLAGS, "examples_per_shard", "precision")


@dataclasses.dataclass(frozen=True)
class LabellingOptions(ModelOptions, TaskOptions, DeviceOptions):
    """The flags of `create_soft_labels.py`."""

    init_checkpoint: str = ""
    input_file: str | None = None
    output_dir: str = ""
    examples_per_shard: int = 10000
    start_over: bool = False
    hidden_state_layers: Sequence[str] | None = None
    predict_batch_size: int = 32
    num_shards: int = 1
    shard_index: int | None = None


class TransferSet(NamedTuple):
    """Texts or pairs of texts to label.

    Attributes:
      examples: Yields all of it, any number of times.
      num_examples: Texts or pairs.
      num_labelled: Number of them with a true label.
      are_pairs: Whether they are pairs.
      sha256: Digest of texts and labels.
    """

    examples: Callable[[], Iterator[TransferExample]]
    num_examples: int
    num_labelled: int
    are_pairs: bool
    sha256: str


def run(options: LabellingOptions) -> None:
    """Labels what is not labelled yet, and completes the set if this process ends last.

    Raises:
      UserError: Options, files or devices that the user has to change.
    """
    shard_index = parse_shard_index(options.shard_index, options.num_shards)
    strategy = create_strategy(options)
    check_batch_size("predict_batch_size", options.predict_batch_size, strategy)
    sources = resolve_text_model(
        options.bert_config_file,
        options.vocab_file,
        options.init_checkpoint,
        options.do_lower_case,
    )
    length = sources.input_length(options.max_seq_length)
    task = _open_task(options, sources)
    labels = _teacher_labels(options, sources, task)
    layers = parse_layers(options.hidden_state_layers, sources.config.num_hidden_layers)
    transfer_set = _open_transfer_set(options, task)
    with strategy.scope():
        teacher = ClassifierModel(sources.config, num_outputs(labels), options.precision)
    load_trained_weights(teacher, options.init_checkpoint)
    log_summary(
        "Labelling",
        {
            "Device": describe_devices(strategy),
            "Precision": options.precision,
            "Teacher": describe_model(teacher),
            "Weights from": options.init_checkpoint,
            "Transfer set": f"{transfer_set.num_examples:,} rows, {transfer_set.num_labelled:,} of "
            "them with a true label",
            "Output": options.output_dir,
        },
    )

    chief = is_chief(strategy)
    if chief:
        part = f"{shard_index}-of-{options.num_shards}" if options.num_shards > 1 else None
        lock_folder("output_dir", options.output_dir, part)
    description = {
        "labels": list(labels),
        "hidden_state_layers": layers,
        "max_seq_length": length,
        "do_lower_case": sources.tokenizer.do_lower_case,
        "tokenizer_settings": sources.tokenizer.settings.of_common_text(),
        "vocab_sha256": sources.tokenizer.sha256,
        "teacher_config": sources.config.to_dict(),
        "teacher_weights_sha256": weights_digest(variable_values(teacher.trainable_variables)),
        "transfer_set_sha256": transfer_set.sha256,
        "examples_per_shard": options.examples_per_shard,
        "precision": options.precision,
    }
    check_earlier_shards(options.output_dir, description, options.start_over)
    engine = Engine(teacher_outputs(teacher, layers), strategy, options.predict_batch_size)
    counts, digests = _label(
        options, shard_index, transfer_set, sources, engine, strategy, description
    )

    # Others may have begun after this process looked for shards made in another way.
    check_earlier_shards(options.output_dir, description)
    if missing := unfinished_shards(options.output_dir, digests) if chief else []:
        logging.info(
            "%d of %d shards are missing or hold other texts, first of all %s, the work of "
            "--shard_index=%d; the process that ends last completes the set.",
            len(missing),
            len(counts),
            shard_path(options.output_dir, missing[0]),
            missing[0] % options.num_shards,
        )
        return
    if chief:
        write_manifest(
            options.output_dir,
            counts,
            transfer_set.num_labelled,
            transfer_set.are_pairs,
            {**description, "flags": options.values(_RECORDED)},
            software_versions(),
        )
    logging.info(
        "%d examples in %d shards in %s.",
        transfer_set.num_examples,
        len(counts),
        options.output_dir,
    )


def _open_task(options: LabellingOptions, sources: TextModelSources) -> Task | None:
    """The task whose training set is labelled, which must be the teacher's."""
    if not options.task_name:
        return None
    task = get_task(known_labels=sources.labels, **options.values(TASK_FLAGS))
    if not task.train:
        raise UserError(
            f"--task_name={options.task_name}: the task has no training set to label; pass its "
            "texts with --input_file alone."
        )
    check_labels(sources.labels, task.labels, f"--init_checkpoint={options.init_checkpoint}")
    return task


def _teacher_labels(
    options: LabellingOptions, sources: TextModelSources, task: Task | None
) -> Sequence[str]:
    """The labels of the teacher's outputs, none of a regression: recorded, the task's, or given."""
    source = f"--init_checkpoint={options.init_checkpoint}"
    sources.check_head(source)
    labels: Sequence[str] | None = sources.labels
    if task is None:
        is_regression = check_label_flags(options.labels, options.regression)
        given: Sequence[str] | None = [] if is_regression else options.labels
        if given is not None:
            check_labels(labels, given, source)
            labels = given
    elif labels is None:
        labels = task.labels
    if labels is None:
        raise UserError(
            f"{source} does not say which labels it predicts; pass --labels in the order of its "
            "outputs, or --regression."
        )
    return labels


def _open_transfer_set(options: LabellingOptions, task: Task | None) -> TransferSet:
    """A first pass over the texts finds every error in them before any labelling."""
    paths = []
    if options.input_file:
        paths = expand_globs(options.input_file, "input_file", is_source_name)
    teacher = checkpoint_file(options.init_checkpoint)
    inputs = {"input_file": paths, "init_checkpoint": teacher, **options.task_inputs()}
    check_folder_apart("output_dir", options.output_dir, inputs)
    # Column flags belong to the task when there is one.
    columns = (None, None) if task else (options.text_a, options.text_b)

    def examples() -> Iterator[TransferExample]:
        for file in task.train if task else ():
            assert task
            for example in task.read_examples(file, options.data_dir or ""):
                label_id = task.label_value(example.label or "")
                yield TransferExample(example.example_id, example.text_a, example.text_b, label_id)
        for example_id, text_a, text_b in read_transfer_texts(paths, *columns):
            yield TransferExample(example_id, text_a, text_b)

    num_examples = num_labelled = 0
    are_pairs = False
    digest = TransferDigest()
    for example in examples():
        is_pair = example.text_b is not None
        if num_examples:
            # Files alone are of one kind, or `read_transfer_texts` refuses them.
            check_pairs(is_pair, are_pairs, f"--input_file, {example.example_id}", "the task")
        are_pairs = is_pair
        num_examples += 1
        num_labelled += example.label_id is not None
        digest.add(example)
    if not num_examples:
        raise UserError(f"--input_file={options.input_file}: no text in these files.")
    return TransferSet(examples, num_examples, num_labelled, are_pairs, digest.hexdigest())


def _label(
    options: LabellingOptions,
    shard_index: int,
    transfer_set: TransferSet,
    sources: TextModelSources,
    engine: Engine,
    strategy: tf.distribute.Strategy,
    description: dict[str, Any],
) -> tuple[list[int], list[str]]:
    """Labels this process's shards that are not finished; numbers and digests of all shards."""
    counts, digests = [], []
    with tqdm(total=transfer_set.num_examples, unit=" examples", desc="Soft labels") as progress:
        shards = chunks(transfer_set.examples(), options.examples_per_shard)
        for index, examples in enumerate(shards):
            path = shard_path(options.output_dir, index)
            # Asked of the chief: another worker may see a file that the chief has just finished.
            is_ours = index % options.num_shards == shard_index
            if is_ours and not chief_value(strategy, is_finished(path, examples)):
                if engine.is_chief:
                    remove_manifest(options.output_dir)
                rows = [(e.text_a, e.text_b) for e in examples]
                features: dict[str, np.ndarray] = encode_rows(
                    sources.tokenizer, rows, description["max_seq_length"]
                )
                outputs = engine(features)
                if engine.is_chief:
                    write_shard(path, examples, features, outputs, description)
            counts.append(len(examples))
            digests.append(examples_digest(examples))
            progress.update(len(examples))
    return counts, digests


def parse_shard_index(shard_index: int | None, num_shards: int) -> int:
    """The position of this process among those that share the work.

    Raises:
      UserError: It is out of range, or missing where there are several.
    """
    if shard_index is None and num_shards > 1:
        raise UserError(
            f"--num_shards={num_shards} needs --shard_index, from 0 to {num_shards - 1}: a different "
            "one for each process."
        )
    if shard_index is not None and not 0 <= shard_index < num_shards:
        raise UserError(
            f"--shard_index is {shard_index}; with --num_shards={num_shards}, it must be from 0 to "
            f"{num_shards - 1}."
        )
    return shard_index or 0
