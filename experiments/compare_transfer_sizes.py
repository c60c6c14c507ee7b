"""Distils a student on nested transfer sets of several sizes, and plots what each is worth.

Source: Turc et al. 2019, Figure 8. One transfer set without duplicates or development texts is made
and labelled once; every smaller set is the beginning of the largest. KD and PD students see the same
number of examples whatever the size, so that only what they see differs.

  python -m experiments.compare_transfer_sizes --task_name=book-reviews --data_dir=book_reviews \\
    --transfer_file=unlabelled_reviews.txt.xz --sizes=1000,4000,16000 --vocab_file=vocab.txt \\
    --student=tiny --student_checkpoint=bert_tiny --teacher_checkpoint=bert_base \\
    --output_dir=book_reviews_output
Run the same command again to continue or to print the table again.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from common.errors import MissingFileError, UserError
from experiments.commands import (
    SOFT_LABELS,
    TaskCommands,
    define_run_flags,
    define_task_training_flags,
    script,
)
from experiments.stages import Stage, run_stages
from training import cli
from training.help import group

if TYPE_CHECKING:
    from experiments.results import Score

FLAGS = flags.FLAGS

define_task_training_flags()

group("The comparison")
flags.DEFINE_list(
    "sizes", None, "Numbers of texts of the transfer sets, all multiples of the smallest."
)
flags.DEFINE_integer(
    "distill_examples",
    32000,
    "Number of examples that each KD and PD student sees, repeated as often as needed.",
)

define_run_flags()

TRANSFER_SET = "transfer_set"
DISTILLED = ("KD", "PD")


def parse_sizes(values: Sequence[str]) -> list[int]:
    """Sizes in ascending order.

    Raises:
      UserError: One is no number, or no multiple of the smallest.
    """
    if not all(value.isdigit() and int(value) for value in values):
        raise UserError(f"--sizes={','.join(values)}: expected numbers such as 1000,4000,16000.")
    sizes = sorted(map(int, values))
    for size in sizes:
        if size % sizes[0]:
            raise UserError(f"--sizes: {size} is no multiple of the smallest one, {sizes[0]}.")
    return sizes


def make_plan(
    values: flags.FlagValues, sizes: Sequence[int]
) -> tuple[list[Stage], dict[str, list[str]]]:
    """The stages, and row of the table -> the stages whose models it averages."""
    commands = TaskCommands(values, predict=False)
    largest = f"{commands.folder(TRANSFER_SET)}-{sizes[-1]}.tsv"
    transfer_set = script(
        "create_transfer_set.py",
        f"--input_file={values.transfer_file}",
        *exclusion(values),
        "--drop_leaks",
        f"--output_file={commands.folder(TRANSFER_SET)}.tsv",
        f"--sizes={','.join(map(str, sizes))}",
    )
    # A shard is as long as the smallest set, so every set is whole shards.
    shard = f"--examples_per_shard={sizes[0]}"
    stages = [
        Stage(TRANSFER_SET, transfer_set, anew=()),  # It is made anew in any case.
        commands.teacher(values.teacher_checkpoint),
        commands.soft_labels(largest, False, shard, needs=(TRANSFER_SET,)),
    ]
    rows: dict[str, list[str]] = {"Teacher": ["teacher"]}
    starts = {"Basic": None, "PF": values.student_checkpoint}
    for row, start in starts.items():
        rows[row] = [f"{row.lower()}_seed{seed}" for seed in values.seeds]
        for name, seed in zip(rows[row], values.seeds, strict=True):
            stages.append(commands.label_training(name, start, seed))
    starts = {"KD": None, "PD": values.student_checkpoint}
    for size in sizes:
        shards = [f"soft_labels-{i:05d}.tfrecord" for i in range(size // sizes[0])]
        files = ",".join(os.path.join(commands.folder(SOFT_LABELS), shard) for shard in shards)
        epochs = values.distill_examples / size
        for row, start in starts.items():
            names = [f"{row.lower()}_{size}_seed{seed}" for seed in values.seeds]
            rows[row_name(row, size)] = names
            for name, seed in zip(names, values.seeds, strict=True):
                stages.append(commands.distillation(name, start, seed, files, epochs))
    return stages, rows


def exclusion(values: flags.FlagValues) -> list[str]:
    """The flags of `create_transfer_set.py` for the development and test sets of the task."""
    from classification.task_files import find_file
    from classification.tasks import OWN_TABLES

    kind = values.task_name.lower()
    if kind not in OWN_TABLES:
        return [f"--exclude_task={values.task_name}:{values.data_dir}"]
    paths = [find_file(values.data_dir, (f"dev.{kind}",), kind)]
    # The test set is of no use to this comparison, but models that have seen it are of none later.
    with contextlib.suppress(MissingFileError):
        paths.append(find_file(values.data_dir, (f"test.{kind}",), kind))
    columns = [values[name].serialize() for name in ("text_a", "text_b") if values[name].value]
    return [f"--exclude_file={','.join(paths)}", *columns]


def row_name(strategy: str, size: int) -> str:
    """Key of a distilled student in the results."""
    return f"{strategy} {size}"


def main(_: Sequence[str]) -> None:
    sizes = parse_sizes(FLAGS.sizes)
    for name in ("student_checkpoint", "teacher_checkpoint"):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing; pass the folder of a pre-trained model.")
    if FLAGS.data_source != "files":
        raise UserError(
            f"--data_source={FLAGS.data_source}: the transfer set is cleared of the development and "
            "test sets, which are read from files; pass --data_source=files."
        )

    from classification.tasks import get_task
    from common.atomic import atomic_output, write_json, write_text
    from common.machine import describe_machine
    from experiments.results import collect_results, rows_as_json
    from training.flags import flag_values
    from training.options import TASK_FLAGS, TaskOptions, from_flags

    task = get_task(**from_flags(TaskOptions, FLAGS).values(TASK_FLAGS))
    stages, rows = make_plan(FLAGS, sizes)
    seconds = run_stages(
        stages, os.path.join(FLAGS.output_dir, "stages"), FLAGS.jobs, FLAGS.start_over
    )
    results = collect_results(rows, FLAGS.output_dir, task, test_labels=None)
    scores = {row: values["dev"] for row, values in results.items()}
    metric = f"dev {' and '.join(task.metrics)}"
    own_flags = [flag.name for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])]
    content = {
        "metric": metric,
        "rows": rows_as_json(results),
        "machine": describe_machine(),
        "settings": flag_values(FLAGS, own_flags),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    write_json(os.path.join(FLAGS.output_dir, "results.json"), content)
    table = make_table(scores, sizes, metric)
    write_text(os.path.join(FLAGS.output_dir, "results.md"), table)
    with atomic_output(os.path.join(FLAGS.output_dir, "results.png")) as temporary:
        plot(temporary, scores, sizes, metric)
    print(table, end="")


def make_table(scores: Mapping[str, Score], sizes: Sequence[int], metric: str) -> str:
    """The Markdown table: a line for each size."""
    lines = [f"| transfer texts | KD, {metric} | PD, {metric} |", "| --- | --- | --- |"]
    for size in sizes:
        kd, pd = (scores[row_name(row, size)] for row in DISTILLED)
        lines.append(f"| {size:,} | {kd} | {pd} |")
    others = ", ".join(f"{row} {scores[row]}" for row in ("Teacher", "Basic", "PF"))
    number = len(scores["PF"].values)
    lines += [
        "",
        f"With labels: {others}. Students: mean ± standard deviation over {number} seeds.",
    ]
    return "\n".join(lines) + "\n"


def plot(path: str, scores: Mapping[str, Score], sizes: Sequence[int], metric: str) -> None:
    """Score by size of the transfer set, as in Figure 8."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for strategy, colour in zip(DISTILLED, ("#7fb3d5", "#2471a3"), strict=True):
        found = [scores[row_name(strategy, size)] for size in sizes]
        axes.errorbar(
            sizes,
            [score.mean for score in found],
            yerr=[score.deviation or 0.0 for score in found],
            label=strategy,
            color=colour,
            marker="o",
            capsize=4,
        )
    for row, colour, style in (
        ("Teacher", "#c0392b", "--"),
        ("PF", "#616a6b", ":"),
        ("Basic", "#b2babb", ":"),
    ):
        mean = scores[row].mean
        axes.axhline(mean, color=colour, linestyle=style, label=f"{row} {mean:.1f}")
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("texts in the transfer set, each within the next")
    axes.set_ylabel(f"{metric} (%)")
    axes.set_ylim(*_limits([value for score in scores.values() for value in score.values]))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, format="png", dpi=150)
    plt.close(figure)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    return math.floor(min(values)) - 2, math.ceil(max(values)) + 2


if __name__ == "__main__":
    flags.mark_flags_as_required(
        ["task_name", "data_dir", "vocab_file", "transfer_file", "sizes", "output_dir"]
    )
    cli.run(main)
