"""The parts of a labelling: its teachers or files, texts and records, from the flags and checked."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from checkpoints.model_sources import DEFAULT_LENGTH, check_labels
from checkpoints.tokenizer_files import open_tokenizer_of_file
from classification.own_tables import check_label_flags
from classification.task import Task
from classification.tasks import get_task
from common.errors import UserError
from common.input_files import expand_globs
from common.outputs import check_folder_apart, checkpoint_file
from data.classifier_records import check_segments
from data.texts import (
    columns_beside_task,
    columns_in_words,
    is_source_name,
    read_transfer_texts,
)
from distillation.score_files import ScoreFiles
from distillation.soft_labels import (
    ScoredExample,
    TransferDigest,
    TransferExample,
    check_same_kind,
    recorded_engines,
)
from distillation.teacher_quality import assess_teacher
from distillation.teachers import (
    PROBABILITIES,
    Features,
    StudentText,
    Teacher,
    Teachers,
    TextEncoding,
    encoding_of_records,
    load_teacher,
    teacher_paths,
)
from serving.cpu_engines import INT8
from serving.engine_choice import AUTO, SAMPLE_ROWS, TENSORFLOW, check_engine
from serving.predictor import Predictor
from training.devices import describe_devices
from training.options import TASK_FLAGS, DeviceOptions, ModelOptions, TaskOptions
from training.strategy import check_batch_size, create_strategy


@dataclasses.dataclass(frozen=True)
class LabellingOptions(ModelOptions, TaskOptions, DeviceOptions):
    """The flags of `create_soft_labels.py`."""

    ensemble: str = PROBABILITIES
    teacher_weights: Sequence[str] | None = None
    input_file: str | None = None
    from_file: str | None = None
    output_dir: str = ""
    examples_per_shard: int = 10000
    start_over: bool = False
    hidden_state_layers: Sequence[str] | None = None
    predict_batch_size: int = 32
    num_shards: int = 1
    shard_index: int | None = None
    engine: str = AUTO


class TransferSet(NamedTuple):
    """Texts or pairs of texts to label.

    Attributes:
      examples: Yields all of it, any number of times.
      num_examples: Texts or pairs.
      num_labelled: Number of them with a true label.
      are_pairs: Whether they are pairs.
      sha256: Digest of texts and labels.
      outputs_sha256: Digest of soft labels that come with the texts.
    """

    examples: Callable[[], Iterator[TransferExample]]
    num_examples: int
    num_labelled: int
    are_pairs: bool
    sha256: str
    outputs_sha256: str


class Job(NamedTuple):
    """A labelling whose options and inputs were checked, before it begins.

    Attributes:
      transfer_set: The texts.
      records: The reading of the student.
      outputs: Texts, and their features in that reading -> logits or score, and behind them any
        hidden states, float32 [N, num_outputs + ...].
      description: Facts that decide them, beside the texts; `labels` and `hidden_state_layers` first.
      strategy: The devices.
      summary: Lines of the start summary.
      assess: Says how good the teacher is; entries of the manifest about it.
    """

    transfer_set: TransferSet
    records: TextEncoding
    outputs: Callable[[Sequence[TransferExample], Features], np.ndarray]
    description: dict[str, Any]
    strategy: tf.distribute.Strategy
    summary: dict[str, str]
    assess: Callable[[], dict[str, Any]] = dict


def job_of_teachers(options: LabellingOptions) -> Job:
    """Labelling by models."""
    strategy = create_strategy(options)
    check_batch_size("predict_batch_size", options.predict_batch_size, strategy)
    text = StudentText(options.vocab_file, options.do_lower_case, options.max_seq_length)
    is_regression = check_label_flags(options.labels, options.regression)
    given: Sequence[str] | None = [] if is_regression else options.labels
    paths = teacher_paths(options.init_checkpoint or "")
    if len(paths) > 1 and options.bert_config_file:
        raise UserError(
            f"--bert_config_file={options.bert_config_file} is for one teacher, but there are "
            f"{len(paths)}; write those without a configuration as model folders "
            "(convert_checkpoint.py)."
        )
    inputs = {"init_checkpoint": [checkpoint_file(path) for path in paths]}
    check_folder_apart("output_dir", options.output_dir, inputs)
    engines = _engines(options, len(paths), strategy)
    loaded = [
        load_teacher(
            path,
            options.bert_config_file,
            text,
            # Tasks have their own labels, and the other teachers those of the first in any order.
            given if index == 0 and not options.task_name else None,
            *engines[index],
            options.predict_batch_size,
            strategy,
        )
        for index, path in enumerate(paths)
    ]
    task = _open_task(options, loaded[0].predictor)
    labels = _teacher_labels(loaded[0], task)
    teachers = Teachers(
        loaded, labels, options.ensemble, options.teacher_weights, options.hidden_state_layers
    )
    records = encoding_of_records(text, loaded[0].encoding)

    def outputs(examples: Sequence[TransferExample], features: Features) -> np.ndarray:
        return teachers.outputs(examples, records, features)

    def assess() -> dict[str, Any]:
        if task is None:
            return {}
        return assess_teacher(
            lambda examples: outputs(examples, records.features(examples)),
            task,
            options.data_dir or "",
        )

    transfer_set = _open_transfer_set(options, task, inputs, loaded)
    first = list(itertools.islice(transfer_set.examples(), SAMPLE_ROWS))
    computed = teachers.choose(first, transfer_set.num_examples)
    return Job(
        transfer_set,
        records,
        outputs,
        {
            "labels": teachers.labels,
            "hidden_state_layers": teachers.layers,
            **teachers.facts(records),
            **computed,
        },
        strategy,
        {
            "Device": describe_devices(strategy),
            "Engine": computed["engine"],
            "Precision": computed["precision"],
            **teachers.summary(),
        },
        assess,
    )


def _engines(
    options: LabellingOptions, num_teachers: int, strategy: tf.distribute.Strategy
) -> list[tuple[str, str]]:
    """Engine and precision of each teacher: as asked for, or those of a labelling that goes on.

    Hidden states are computed by TensorFlow alone.
    """
    asked = options.engine, options.precision
    if options.hidden_state_layers:
        if options.engine not in (AUTO, TENSORFLOW) or options.precision == INT8:
            raise UserError(
                f"--engine={options.engine} --precision={options.precision}: --hidden_state_layers "
                "are computed by TensorFlow alone, and not in int8; leave --hidden_state_layers "
                "out, or pass --engine=tensorflow and another precision than int8."
            )
        asked = TENSORFLOW, options.precision
    earlier = [] if options.start_over else recorded_engines(options.output_dir, num_teachers)
    if not all(_is_choice(asked, found, strategy) for found in earlier):
        earlier = []  # Which is then refused.
    if earlier and AUTO in asked:
        names = ", ".join(dict.fromkeys(" in ".join(found) for found in earlier))
        logging.info("Engine: %s, as in the soft labels of %s.", names, options.output_dir)
    return earlier or [asked] * num_teachers


def _is_choice(
    asked: tuple[str, str], found: tuple[str, str], strategy: tf.distribute.Strategy
) -> bool:
    """Whether `AUTO` can mean this engine and precision."""
    try:
        check_engine(*found, strategy)
    except UserError:
        return False
    return all(name in (AUTO, one) for name, one in zip(asked, found, strict=True))


def job_of_file(options: LabellingOptions) -> Job:
    """Labelling by what is in files."""
    if not options.vocab_file:
        raise UserError(
            "--from_file needs --vocab_file, the vocabulary of the student that is to learn from it."
        )
    is_regression = check_label_flags(options.labels, options.regression)
    scores = ScoreFiles(
        options.from_file or "",
        options.text_a,
        options.text_b,
        [] if is_regression else options.labels,
    )
    if options.regression is False and not scores.labels:
        raise UserError(
            f"--noregression, but --from_file={options.from_file} has scores of a regression; "
            "leave --noregression out."
        )
    length = options.max_seq_length or DEFAULT_LENGTH
    records = TextEncoding(
        open_tokenizer_of_file(options.vocab_file, options.do_lower_case), length
    )
    check_folder_apart("output_dir", options.output_dir, {"from_file": scores.paths})
    transfer_set = _checked_set(scores.read, options.from_file or "", "from_file")
    if scores.num_empty:
        logging.warning(
            "%d rows without text are left out; the first: %s.",
            scores.num_empty,
            scores.first_empty,
        )
    return Job(
        transfer_set,
        records,
        lambda examples, _: np.array(
            [e.outputs for e in examples if isinstance(e, ScoredExample)], np.float32
        ),
        {
            "labels": scores.labels,
            "hidden_state_layers": [],
            "scores": scores.kind,
            "teacher_weights_sha256": transfer_set.outputs_sha256,
        },
        tf.distribute.get_strategy(),
        {
            "Soft labels": f"{scores.kind} from {options.from_file}",
            "Labels": ", ".join(scores.labels) or "none, a regression",
            "Text": f"{length} tokens of {options.vocab_file}",
        },
    )


def _open_task(options: LabellingOptions, teacher: Predictor) -> Task | None:
    """The task whose training set is labelled, which must be the teacher's."""
    if not options.task_name:
        return None
    task = get_task(known_labels=teacher.labels, **options.values(TASK_FLAGS))
    if not task.train:
        raise UserError(
            f"--task_name={options.task_name}: the task has no training set to label; pass its "
            "texts with --input_file alone."
        )
    check_labels(teacher.labels, task.labels, f"--init_checkpoint={options.init_checkpoint}")
    return task


def _teacher_labels(teacher: Teacher, task: Task | None) -> Sequence[str]:
    """The labels of a teacher's outputs, none of a regression: recorded, given, or the task's."""
    if teacher.predictor.labels is not None:
        return teacher.predictor.labels
    if task is not None:
        return task.labels
    raise UserError(
        f"--init_checkpoint={teacher.path} does not say which labels it predicts; pass --labels in "
        "the order of its outputs, or --regression."
    )


def _open_transfer_set(
    options: LabellingOptions,
    task: Task | None,
    inputs: Mapping[str, Sequence[str]],
    teachers: Sequence[Teacher],
) -> TransferSet:
    """The texts of a task and of files, to be labelled by teachers, the models of `inputs`."""
    paths = []
    if options.input_file:
        paths = expand_globs(options.input_file, "input_file", is_source_name)
    inputs = {"input_file": paths, **inputs, **options.task_inputs()}
    check_folder_apart("output_dir", options.output_dir, inputs)
    columns = columns_beside_task(paths, options.text_a, options.text_b, options.task_name)

    def examples() -> Iterator[TransferExample]:
        for file in task.train if task else ():
            assert task
            for example in task.read_examples(file, options.data_dir or ""):
                label_id = task.label_value(example.label or "")
                yield TransferExample(example.example_id, example.text_a, example.text_b, label_id)
        for example_id, text_a, text_b in read_transfer_texts(paths, *columns):
            yield TransferExample(example_id, text_a, text_b)

    transfer_set = _checked_set(examples, options.input_file or "", "input_file")
    texts = f"--task_name={options.task_name}"
    if paths:
        texts = paths[0] + columns_in_words(paths[0], columns)
    for teacher in teachers:
        sources = teacher.predictor.sources
        sources.check_pairs(transfer_set.are_pairs, teacher.path, texts)
        segments = sources.config.type_vocab_size
        check_segments(segments, transfer_set.are_pairs, texts, teacher.path)
    return transfer_set


def _checked_set(
    examples: Callable[[], Iterator[TransferExample]], patterns: str, flag: str
) -> TransferSet:
    """A first pass over the texts finds every error in them before any labelling."""
    num_examples = num_labelled = 0
    are_pairs = False
    digest = TransferDigest()
    for example in examples():
        is_pair = example.text_b is not None
        if num_examples:
            # Files alone are of one kind, or `read_transfer_texts` refuses them.
            check_same_kind(is_pair, are_pairs, f"--{flag}, {example.example_id}", "the task")
        are_pairs = is_pair
        num_examples += 1
        num_labelled += example.label_id is not None
        digest.add(example)
    if not num_examples:
        raise UserError(f"--{flag}={patterns}: no text in these files.")
    return TransferSet(
        examples,
        num_examples,
        num_labelled,
        are_pairs,
        digest.hexdigest(),
        digest.outputs_hexdigest(),
    )
