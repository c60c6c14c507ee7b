"""A trained model as programs for several runtimes, each compared with the model before it is named.

The folder runs by itself: beside the programs lie the tokenizer, a runner and a server
(`serving/runtime`), and the files that transformers.js and Optimum look for.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from checkpoints.model_sources import check_labels, check_pairs
from checkpoints.verification import random_batch
from classification.task import Task
from classification.tasks import get_task
from common.atomic import new_folder, remove_any, write_json, write_text
from common.errors import UserError
from common.files import make_folder
from common.input_files import expand_globs
from common.outputs import check_folder_apart, checkpoint_file
from common.quiet import without_warnings
from data.classifier_records import check_segments
from data.texts import (
    Text,
    columns_beside_task,
    columns_in_words,
    is_transfer_name,
    read_transfer_texts,
)
from modeling.bert import INPUTS
from modeling.vocabulary import VOCAB_FILE
from serving import export_report, litert
from serving.comparison import (
    Comparison,
    EvaluationSet,
    compare,
    encoded_rows,
    megabytes,
    model_outputs,
    probe,
    program_outputs,
)
from serving.export_files import (
    FORMATS,
    LITERT,
    ONNX,
    Form,
    check_choices,
    planned_forms,
    write_companions,
)
from serving.runtime.programs import open_program
from serving.trained_model import TrainedModel, read_trained_model
from serving.vocabulary_pruning import changed_tokens, pruned_model
from training.options import TASK_FLAGS, TaskOptions

LENGTHS = (32, 128)
# Texts that scales of full int8 are measured on.
_CALIBRATION_ROWS = 256


@dataclasses.dataclass(frozen=True)
class ExportOptions(TaskOptions):
    """The flags of `export_model.py`."""

    input_path: str = ""
    bert_config_file: str | None = None
    vocab_file: str | None = None
    do_lower_case: bool | None = None
    output_dir: str = ""
    formats: Sequence[str] = FORMATS
    quantization: Sequence[str] = (litert.DYNAMIC_INT8,)
    eval_file: str | None = None
    calibration_file: str | None = None
    max_accuracy_drop: float = 1.0
    max_disagreement: float = 5.0
    label_names: Sequence[str] | None = None
    keep_vocabulary_of: str | None = None
    model_name: str | None = None
    max_seq_length: int | None = None
    pairs: bool | None = None
    measure: bool = True


def export(options: ExportOptions) -> str:
    """Writes, runs and compares all programs that are asked for.

    Returns:
      The report, a table in Markdown.

    Raises:
      UserError: Options or files that the user has to change; nothing is written then. Or some of the
        programs are too far from the model: the others are there.
    """
    whole, rows = _read(options)
    with tempfile.TemporaryDirectory() as folder:
        model, note = _pruned(options, whole, rows, os.path.join(folder, VOCAB_FILE))
        return _export(options, whole, model, rows, note)


def _export(
    options: ExportOptions, whole: TrainedModel, model: TrainedModel, rows: EvaluationSet, note: str
) -> str:
    calibration = []
    if litert.FULL_INT8 in options.quantization:
        calibration = _calibration(options, model, rows.task)
    forms = planned_forms(
        model,
        options.formats,
        options.quantization,
        calibration,
        with_model_folder=bool(options.keep_vocabulary_of),
    )
    # As long as a program takes them: a row that is cut later lacks its end.
    encoded = functools.cache(lambda longest: _encoded(model, rows, longest))
    before = model_outputs(whole, _encoded(whole, rows))
    entries, refused = [], []
    with new_folder(options.output_dir) as folder:
        for form in forms:
            path = os.path.join(folder, form.path)
            make_folder(os.path.dirname(path))
            with without_warnings():
                form.write(path)
            if form.runs:
                program = open_program(path)
                after = program_outputs(program, encoded(program.longest))
            else:
                after = model_outputs(model, encoded(None))
            found = compare(model, rows, before, after)
            objection = found.objection(options.max_accuracy_drop, options.max_disagreement)
            entries.append(_entry(form, path, found, objection, options.measure, model))
            if objection:
                refused.append(f"{form.path}: {objection}")
                remove_any(path)
                parent = os.path.dirname(path)
                if parent != folder and not os.listdir(parent):
                    os.rmdir(parent)
        report = export_report.markdown(model, rows, entries, note)
        if refused:
            logging.info("%s", report)  # What is returned is lost with an error.
        if len(refused) == len(forms):
            raise UserError(_refusal(refused, f"{options.output_dir} was not written"))
        written = [entry.path for entry in entries if entry.objection is None]
        name = options.model_name or os.path.basename(os.path.abspath(options.input_path))
        write_companions(folder, model, written, name)
        write_text(os.path.join(folder, "export_report.md"), report)
        write_json(
            os.path.join(folder, "export_report.json"),
            export_report.content(model, rows, entries, options),
        )
    if refused:
        raise UserError(_refusal(refused, f"the others are in {options.output_dir}"))
    return report


def _refusal(refused: Sequence[str], rest: str) -> str:
    return f"not exported: {'; '.join(refused)}; {rest}."


def _read(options: ExportOptions) -> tuple[TrainedModel, EvaluationSet]:
    """The model under its new labels, and the rows to compare on."""
    check_choices(options.formats, options.quantization)
    if not {LITERT, ONNX} & set(options.formats):
        options.refuse(("quantization",), "a SavedModel is float32")
    if litert.FULL_INT8 not in options.quantization:
        options.refuse(("calibration_file",), "without --quantization=full_int8")
    inputs = {"input_path": checkpoint_file(options.input_path)}
    check_folder_apart("output_dir", options.output_dir, inputs)
    model = read_trained_model(
        options.input_path,
        options.max_seq_length,
        options.pairs,
        options.bert_config_file,
        options.vocab_file,
        options.do_lower_case,
    )
    rows = EvaluationSet("random ids", [])
    if options.task_name:
        task = get_task(known_labels=model.known_labels, **options.values(TASK_FLAGS))
        if not model.has_classifier:
            raise UserError(f"--task_name={task.name}: {options.input_path} holds no classifier.")
        check_labels(model.known_labels, task.labels, options.input_path)
        model = dataclasses.replace(model, labels=task.labels)
        if not task.dev:
            without = " without --label, the column of its labels" if task.labels_from else ""
            raise UserError(
                f"--task_name={task.name} has no development set to compare on{without}."
            )
        examples = list(task.read_examples(task.dev[0], options.data_dir or ""))
        labels = np.array([task.label_value(str(example.label)) for example in examples])
        texts = [(example.text_a, example.text_b) for example in examples]
        rows = EvaluationSet(f"{task.name} {task.dev[0].name}", texts, labels, task)
        model = _for_texts(model, texts, f"task {task.name}")
    elif options.eval_file:
        rows = EvaluationSet(options.eval_file, _texts(options.eval_file, options))
        model = _for_texts(model, rows.rows, _in_words(options.eval_file, options))
    else:
        logging.warning(
            "Neither --task_name nor --eval_file: programs are compared on random ids, so nothing is "
            "known of their accuracy."
        )
    if model.labels and not (model.labels_are_known or options.task_name or options.label_names):
        raise UserError(
            f"{options.input_path} does not say what its {len(model.labels)} outputs stand for; name "
            "them in their order (--label_names)."
        )
    return model.renamed(options.label_names), rows


def _for_texts(
    model: TrainedModel, rows: Sequence[tuple[str, str | None]], texts: str
) -> TrainedModel:
    """The model as one for such rows, which `texts` names; UserError if it is known for others."""
    are_pairs = rows[0][1] is not None
    check_pairs(model.known_pairs, are_pairs, model.source, texts)
    check_segments(model.config.type_vocab_size, are_pairs, texts, model.source)
    return dataclasses.replace(model, pairs=are_pairs)


def _in_words(path: str, options: ExportOptions) -> str:
    columns = columns_beside_task([path], options.text_a, options.text_b, options.task_name)
    return path + columns_in_words(path, columns)


def _texts(path: str, options: ExportOptions) -> list[tuple[str, str | None]]:
    texts = [(text_a, text_b) for _, text_a, text_b in _read_texts([path], options)]
    if not texts:
        raise UserError(f"{path} holds no texts.")
    return texts


def _read_texts(paths: Sequence[str], options: ExportOptions) -> Iterator[Text]:
    columns = columns_beside_task(paths, options.text_a, options.text_b, options.task_name)
    return read_transfer_texts(paths, *columns)


def _calibration(
    options: ExportOptions, model: TrainedModel, task: Task | None
) -> list[dict[str, np.ndarray]]:
    """Inputs to measure activations on: of a file, else of the task's training set."""
    if LITERT not in options.formats:
        return []
    if options.calibration_file:
        texts = _texts(options.calibration_file, options)
        _for_texts(model, texts, _in_words(options.calibration_file, options))
    elif task:
        examples = task.read_examples(task.train[0], options.data_dir or "")
        texts = [(x.text_a, x.text_b) for x, _ in zip(examples, range(4096), strict=False)]
    else:
        raise UserError(
            "--quantization=full_int8 measures activations on texts of the model's kind; pass "
            "--calibration_file, or --task_name and --data_dir for the training set of a task."
        )
    step = max(1, len(texts) // _CALIBRATION_ROWS)
    longest = litert.static_lengths(model)[-1]
    return encoded_rows(model, texts[::step][:_CALIBRATION_ROWS], longest)


def _pruned(
    options: ExportOptions, whole: TrainedModel, rows: EvaluationSet, vocab_file: str
) -> tuple[TrainedModel, str]:
    """The model with the vocabulary that is asked for, and a sentence about it."""
    if not options.keep_vocabulary_of:
        return whole, ""
    paths = expand_globs(options.keep_vocabulary_of, "keep_vocabulary_of", is_transfer_name)
    texts = (text for _, *pair in _read_texts(paths, options) for text in pair if text)
    model = pruned_model(whole, texts, vocab_file)
    share = changed_tokens(whole.tokenizer, model.tokenizer, rows.rows)
    return model, (
        f"The vocabulary has {model.config.vocab_size:,} of {whole.config.vocab_size:,} entries; "
        f"{share:.2f} % of the tokens of these rows are in words that are now split into other "
        "WordPieces. Decisions are compared with those of the whole model."
    )


def _encoded(
    model: TrainedModel, rows: EvaluationSet, longest: int | None = None
) -> list[dict[str, np.ndarray]]:
    """The rows as inputs, or random ones where there are none; `longest` as in `encoded_rows`."""
    if rows.rows:
        return encoded_rows(model, rows.rows, longest)
    batch = random_batch(model.config)
    lengths = batch["input_mask"].sum(axis=1)
    most = min(model.max_seq_length, longest or model.max_seq_length)
    return [
        {name: batch[name][i : i + 1, : min(n, most)] for name in INPUTS}
        for i, n in enumerate(lengths)
    ]


def _entry(
    form: Form,
    path: str,
    found: Comparison,
    objection: str | None,
    measures: bool,
    model: TrainedModel,
) -> export_report.Entry:
    size = megabytes(path)
    if not (measures and form.runs):
        return export_report.Entry(form.path, size, found, objection, {})
    lengths = [length for length in LENGTHS if length <= model.max_seq_length]
    lengths = lengths or [model.max_seq_length]
    threads = sorted({1, os.cpu_count() or 1})
    times = {count: probe(path, lengths, count) for count in threads}
    return export_report.Entry(form.path, size, found, objection, times)
