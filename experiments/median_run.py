"""The median of several runs by its development score, as a model folder.

  python -m experiments.median_run --runs=teacher_seed1,teacher_seed2,teacher_seed3 \\
    --output_dir=teacher
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from common.files import list_folder, make_folder
from common.outputs import check_folder_apart
from experiments.stage_inputs import is_of_run
from training import cli
from training.help import group
from training.metrics_log import final_evaluation

FLAGS = flags.FLAGS

group("Input and output")
flags.DEFINE_list("runs", None, "Output folders of evaluated runs, separated by commas.")
flags.DEFINE_string("output_dir", None, "Folder for the model and results of the median run.")


def median_run(runs: Sequence[str]) -> str:
    """The run in the middle of the scores of final models; of two in the middle, the worse."""
    scores = sorted((final_evaluation(run)["score"], run) for run in runs)
    return scores[(len(scores) - 1) // 2][1]


def main(_: Sequence[str]) -> None:
    check_folder_apart("output_dir", FLAGS.output_dir, {"runs": FLAGS.runs})
    run = median_run(FLAGS.runs)
    names = list(filter(is_of_run, list_folder(run)))
    if not names:
        raise UserError(f"{run} holds no model.")
    make_folder(FLAGS.output_dir)
    for name in names:
        shutil.copyfile(os.path.join(run, name), os.path.join(FLAGS.output_dir, name))
    print(f"{FLAGS.output_dir} is {run}.")


if __name__ == "__main__":
    flags.mark_flags_as_required(["runs", "output_dir"])
    cli.run(main)
