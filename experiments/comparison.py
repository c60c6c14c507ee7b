"""A teacher and a student by every strategy of the paper, trained and compared."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import statistics
from collections.abc import Mapping, Sequence

from classification.task_files import find_file
from classification.tasks import OWN_TABLES, get_task
from common.errors import MissingFileError, UserError
from common.input_files import expand_globs
from common.machine import describe_machine
from common.markdown import table
from data.rows import format_of
from experiments.commands import CommandGraph, Schedule, Start, random_start, trained_start
from experiments.figures import plot_by_size, plot_strategies
from experiments.grid_search import parse_values
from experiments.results import collect_rows, read_test_labels, write_results
from experiments.scores import Row
from experiments.stages import run_stages
from experiments.students import (
    STRATEGIES,
    TEACHER,
    TaskModels,
    TaskSettings,
    first_shards,
    record_files,
)
from modeling.config import load_config
from modeling.vocabulary import read_vocabulary
from training.options import TASK_FLAGS, TaskOptions

STUDENTS = ("Basic", "PF", "PD", "PD-F", "KD")


@dataclasses.dataclass(frozen=True)
class ComparisonOptions(TaskOptions):
    """Options of a comparison; every attribute is the flag of that name of `compare_strategies`."""

    transfer_file: str = ""
    transfer_labelled_set: bool = True
    transfer_sizes: Sequence[str] = ()
    max_seq_length: int = 128
    vocab_file: str = ""
    student: str = "tiny"
    student_checkpoint: str | None = None
    teacher_checkpoint: str | None = None
    teacher_vocab_file: str | None = None
    teacher_config: str | None = None
    lm_file: str | None = None
    lm_sentence_split: bool = False
    lm_dupe_factor: int = 1
    lm_max_seq_length: int = 128
    lm_batch_size: int = 32
    lm_learning_rate: float = 1e-3
    lm_student_steps: int = 10000
    lm_teacher_learning_rate: float = 5e-4
    lm_teacher_steps: int = 10000
    seeds: Sequence[str] = ("1", "2", "3")
    batch_size: int = 32
    teacher_learning_rate: float = 5e-5
    teacher_epochs: float = 3.0
    label_learning_rate: float = 3e-4
    label_epochs: float = 4.0
    distill_learning_rate: float = 3e-4
    distill_epochs: float = 3.0
    distill_examples: int = 32000
    final_learning_rate: float = 5e-5
    final_epochs: float = 3.0
    output_dir: str = ""
    start_over: bool = False
    jobs: int = 2
    precision: str = "bfloat16"

    def arguments(self) -> tuple[str, ...]:
        """The flags of a command that has the same task."""
        defaults = TaskOptions()
        given = {n: v for n, v in self.values(TASK_FLAGS).items() if v != getattr(defaults, n)}
        return tuple(_flag(name, value) for name, value in given.items())


def _flag(name: str, value: bool | str | float | Sequence[str]) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value if isinstance(value, (str, float, int)) else ','.join(value)}"


def run(options: ComparisonOptions) -> str:
    """Trains what is not trained yet and writes `results.json`, `results.md` and `results.png`.

    Returns:
      The content of `results.md`.

    Raises:
      UserError: Options contradict each other, or a command failed.
    """
    _check(options)
    check_models(options)
    sizes = parse_sizes(options.transfer_sizes)
    task = get_task(**options.values(TASK_FLAGS))
    # With sizes, no model predicts the test set.
    test_labels = None if sizes else read_test_labels(task, options.data_dir or "", options.label)
    graph, models = make_plan(options, sizes)
    folder = os.path.join(options.output_dir, "stages")
    seconds = run_stages(graph.stages, folder, options.jobs, options.start_over)
    rows = collect_rows(models, task, test_labels)
    metric = " and ".join(task.metrics)
    text = _report(rows, models, seconds, metric)
    write_results(
        options.output_dir,
        {
            "metric": metric,
            "rows": {name: row.to_json() for name, row in rows.items()},
            "machine": describe_machine(),
            "settings": dataclasses.asdict(options),
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        },
        text,
        plot_by_size(rows, sizes, metric) if sizes else plot_strategies(rows, metric),
    )
    return text


def _check(options: ComparisonOptions) -> None:
    if bool(options.teacher_config) == bool(options.teacher_checkpoint):
        raise UserError("pass --teacher_config or --teacher_checkpoint, one of the two.")
    if not options.lm_file and (options.teacher_config or not options.student_checkpoint):
        raise UserError(
            "pass --lm_file, the text to pre-train on; or a pre-trained --student_checkpoint and "
            "--teacher_checkpoint."
        )
    if options.transfer_sizes and options.data_source != "files":
        raise UserError(
            f"--data_source={options.data_source}: with --transfer_sizes, the transfer set is "
            "cleared of the development and test sets, which are read from files; pass "
            "--data_source=files."
        )


def check_models(options: ComparisonOptions) -> None:
    """Compares sizes and vocabulary with those of the checkpoints, before a command takes hours.

    Raises:
      UserError: A size has no such name, or a checkpoint is of another size or vocabulary.
    """
    # They need TensorFlow, and no other part of this process does.
    from checkpoints.formats import find_weights, open_weights
    from checkpoints.initialization import check_whole
    from checkpoints.model_folder import read_model_folder

    vocabulary = read_vocabulary(options.vocab_file)
    sizes = {"student": options.student, "teacher_config": options.teacher_config}
    configs = {
        flag: load_config(size, len(vocabulary), flag) for flag, size in sizes.items() if size
    }
    for name in ("student", "teacher"):
        flag = f"{name}_checkpoint"
        if not (checkpoint := getattr(options, flag)):
            continue
        stored = find_weights(checkpoint, flag)
        folder = read_model_folder(stored)
        file = (name == "teacher" and options.teacher_vocab_file) or options.vocab_file
        if folder and folder.vocabulary:
            folder.vocabulary.check(read_vocabulary(file), file)
        if name in configs:
            check_whole(open_weights(stored), configs[name])


def parse_sizes(values: Sequence[str]) -> list[int]:
    """Numbers of transfer texts in ascending order.

    Raises:
      UserError: One is no number, there twice, or no multiple of the smallest.
    """
    sizes = sorted(parse_values("transfer_sizes", values, int)) if values else []
    if 0 in sizes:
        raise UserError(
            f"--transfer_sizes={','.join(values)}: expected numbers from 1 on, such as "
            "1000,4000,16000."
        )
    for size in sizes:
        if size % sizes[0]:
            raise UserError(
                f"--transfer_sizes: {size} is no multiple of the smallest one, {sizes[0]}."
            )
    return sizes


def make_plan(
    options: ComparisonOptions, sizes: Sequence[int]
) -> tuple[CommandGraph, dict[str, list[str]]]:
    """The commands, and row of the table -> the folders of the models it averages."""
    graph = CommandGraph(options.output_dir, options.vocab_file, options.precision)
    models = TaskModels(graph, _settings(options))
    starts, teacher_start = _starts(graph, options)
    seeds = [str(seed) for seed in parse_values("seeds", options.seeds, int)]
    teacher = models.teacher(teacher_start, seeds[0])
    rows = {"Teacher": [teacher]}
    if not sizes:
        labelled = options.arguments() if options.transfer_labelled_set else ()
        soft_labels = models.soft_labels(teacher, options.transfer_file, *labelled)
        # KD last, because nothing waits for it: so no job runs alone at the end.
        for row in STUDENTS:
            rows[row] = [
                models.student(row, starts, record_files(soft_labels), seed) for seed in seeds
            ]
        return graph, {row: rows[row] for row in STRATEGIES if row in rows}

    texts = graph.transfer_set(
        "transfer_set",
        f"--input_file={options.transfer_file}",
        *task_exclusion(options),
        "--drop_leaks",
        f"--sizes={','.join(map(str, sizes))}",
    )
    # A shard is as long as the smallest set, so every set is whole shards.
    largest = os.path.join(texts, f"texts-{sizes[-1]}.tsv")
    soft_labels = models.soft_labels(teacher, largest, f"--examples_per_shard={sizes[0]}")
    for row in ("Basic", "PF"):
        rows[row] = [models.student(row, starts, "", seed) for seed in seeds]
    for size in sizes:
        records = first_shards(soft_labels, size // sizes[0])
        epochs = options.distill_examples / size
        for row in ("KD", "PD"):
            rows[f"{row} {size}"] = [
                models.student(row, starts, records, seed, f"_{size}", epochs) for seed in seeds
            ]
    return graph, rows


def _settings(options: ComparisonOptions) -> TaskSettings:
    return TaskSettings(
        options.arguments(),
        options.max_seq_length,
        options.batch_size,
        Schedule(options.teacher_learning_rate, options.teacher_epochs),
        Schedule(options.label_learning_rate, options.label_epochs),
        Schedule(options.distill_learning_rate, options.distill_epochs),
        Schedule(options.final_learning_rate, options.final_epochs),
        predict=not options.transfer_sizes,
        teacher_vocab_file=options.teacher_vocab_file or "",
    )


def _starts(graph: CommandGraph, options: ComparisonOptions) -> tuple[dict[str, Start], Start]:
    """Starting models of students and teacher; pre-trained here where no model is given."""
    records, length = "", options.lm_max_seq_length
    if options.lm_file:
        records = graph.pretraining_records(
            "lm_data",
            options.lm_file,
            length,
            f"--do_sentence_split={options.lm_sentence_split}",
            f"--dupe_factor={options.lm_dupe_factor}",
        )

    def pretrained(name: str, size: str, rate: float, steps: int) -> str:
        batch = options.lm_batch_size
        return graph.pretraining(name, random_start(size), records, length, batch, rate, steps)

    teacher = options.teacher_checkpoint
    if options.teacher_config:
        rate, steps = options.lm_teacher_learning_rate, options.lm_teacher_steps
        teacher = pretrained("teacher_lm", options.teacher_config, rate, steps)
    rate, steps = options.lm_learning_rate, options.lm_student_steps
    student = options.student_checkpoint or pretrained("student_lm", options.student, rate, steps)
    starts = {"random": random_start(options.student), "pre-trained": trained_start(student)}
    return starts, trained_start(teacher or "")


def task_exclusion(options: ComparisonOptions) -> list[str]:
    """Flags of `create_transfer_set.py` that keep the development and test sets of the task apart."""
    kind, folder = (options.task_name or "").lower(), options.data_dir or ""
    if kind not in OWN_TABLES:
        return [f"--exclude_task={options.task_name}:{folder}"]
    given = {"train": options.train_file, "dev": options.dev_file, "test": options.test_file}

    def files(name: str) -> str:
        _check_endings(f"{name}_file", given[name] or "", kind)
        return given[name] or find_file(folder, (f"{name}.{kind}",), kind)

    # The rows that --dev_share holds out stand in the training set.
    paths = [files("train" if options.dev_share else "dev")]
    # The test set is of no use to this comparison, but models that have seen it are of none later.
    with contextlib.suppress(MissingFileError):
        paths.append(files("test"))
    columns = {"text_a": options.text_a, "text_b": options.text_b}
    return [
        f"--exclude_file={','.join(paths)}",
        *(f"--{name}={column}" for name, column in columns.items() if column),
    ]


def _check_endings(flag: str, patterns: str, kind: str) -> None:
    """Refuses files that the task reads by its kind, but a transfer set in another way by name."""
    for path in expand_globs(patterns, flag, level=logging.DEBUG) if patterns else ():
        by_name = format_of(path)
        if by_name != kind:
            raise UserError(
                f"--{flag}: with --transfer_sizes, the transfer set is cleared of the texts of "
                f"{path}, which there is {by_name or 'lines of text'} by its name, but here "
                f"--task_name={kind}; give it a name that ends in .{kind}."
            )


def _report(
    rows: Mapping[str, Row],
    models: Mapping[str, Sequence[str]],
    seconds: Mapping[str, float],
    metric: str,
) -> str:
    has_test = any(row.test for row in rows.values())
    heading = ["Model", "starts from", "learns from", "parameters", f"dev {metric}"]
    heading += [f"test {metric}"] * has_test + ["seconds per run"]
    cells = []
    for name, row in rows.items():
        strategy, _, texts = name.partition(" ")
        start, learns_from = STRATEGIES[strategy].start, STRATEGIES[strategy].learns_from
        learns_from = (
            f"teacher, on {int(texts):,} texts" if texts and learns_from == TEACHER else learns_from
        )
        times = [seconds[os.path.basename(folder)] for folder in models[name]]
        scores = [str(row.dev), *[str(row.test)] * has_test]
        size = f"{row.parameters:,}"
        cells.append(
            [strategy, start, learns_from, size, *scores, f"{statistics.fmean(times):.0f}"]
        )
    trained = {os.path.basename(folder) for folders in models.values() for folder in folders}
    shared = [f"{name} {value:.0f} s" for name, value in seconds.items() if name not in trained]
    seeds = max(len(row.dev.values) for row in rows.values())
    lines = [
        *table(heading, cells),
        "",
        f"Students: mean ± standard deviation over {seeds} seeds, which share one pre-trained model. "
        f"Shared stages: {', '.join(shared)}. Machine: {describe_machine()}.",
    ]
    return "\n".join(lines) + "\n"
