"""The development scores of a model on several GLUE tasks, and their means as published.

  python -m experiments.glue_table --runs=sst-2:tiny_sst2,mrpc:tiny_mrpc,mnli:tiny_mnli

Each run is TASK:FOLDER, the output folder of run_classifier.py or run_distill.py with --do_eval. The
meta score (Turc et al. 2019, Table 3) and the score of the released miniatures are printed when the
tasks they are over are all there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags

from classification.glue_scores import META_TASKS, README_TASKS, meta_score, readme_score
from classification.task import Task
from classification.tasks import TASKS
from common.errors import UserError
from common.files import exists
from common.markdown import table
from training import cli
from training.help import group
from training.metrics_log import read_results

FLAGS = flags.FLAGS

group("Input")
flags.DEFINE_list(
    "runs",
    None,
    "Evaluated runs, each as TASK:FOLDER such as sst-2:my_sst2, the output folder of "
    "run_classifier.py or run_distill.py.",
)


def read_figures(task: Task, folder: str) -> list[float]:
    """Figures that GLUE reports of a task, in percent: its metrics on each development set.

    Raises:
      UserError: The folder holds no evaluation, or one of another task.
    """
    figures = []
    for i, file in enumerate(task.dev):
        name = "eval_results.txt" if i == 0 else f"eval_results_{file.name}.txt"
        path = os.path.join(folder, name)
        if not exists(path):
            raise UserError(f"{path} is missing; evaluate task {task.name} there (--do_eval).")
        values = read_results(path)
        for metric in task.metrics:
            if f"eval_{metric}" not in values:
                raise UserError(
                    f"{path} has no eval_{metric}, but {', '.join(values)}; it is not of "
                    f"task {task.name}."
                )
            figures.append(100 * values[f"eval_{metric}"])
    return figures


def make_table(figures: dict[str, list[float]]) -> str:
    """Markdown, one column a task."""
    means = {
        "Meta score": (META_TASKS, meta_score),
        "Score": (README_TASKS, readme_score),
    }
    cells = {
        name: "/".join(f"{figure:.1f}" for figure in values) for name, values in figures.items()
    }
    for name, (tasks, mean) in means.items():
        if set(tasks) <= set(figures):
            cells[name] = f"{mean(figures):.1f}"
    return "\n".join(table(list(cells), [list(cells.values())])) + "\n"


def main(_: Sequence[str]) -> None:
    tasks = {task.name: task for task in TASKS}
    figures = {}
    for run in FLAGS.runs:
        name, _, folder = run.partition(":")
        task = tasks.get(name.lower())
        if not task or not folder or not task.dev:
            raise UserError(
                f'--runs: "{run}" must be TASK:FOLDER, such as sst-2:my_run, with one of '
                f"{', '.join(task.name for task in TASKS if task.dev)}."
            )
        if task.name in figures:
            raise UserError(f"--runs names {task.name} twice; the table has one run of each task.")
        figures[task.name] = read_figures(task, folder)
    print(make_table(figures), end="")


if __name__ == "__main__":
    flags.mark_flag_as_required("runs")
    cli.run(main)
