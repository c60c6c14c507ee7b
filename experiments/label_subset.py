"""A labelled task with few labels: some of its training examples, and the other texts without labels.

  python -m experiments.label_subset --task_name=SST-2 --data_dir=glue/SST-2 --num_labels=2000 \\
    --output_dir=sst2_2000

The folder holds tables of one's own (--task_name=tsv --text_a=text_a --label=label, and
--text_b=text_b for pairs): `train.tsv`, with each label in its share of the whole set, and `dev.tsv`;
and texts alone: `unlabelled.txt` (pairs: `.tsv`) and `dev_texts.tsv`.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from training import cli
from training.data_flags import define_task_flags
from training.help import group

FLAGS = flags.FLAGS

group("The task")
define_task_flags()
flags.DEFINE_integer(
    "num_labels", 0, "Number of training examples that keep their labels; 0 for all.", lower_bound=0
)
flags.DEFINE_integer("random_seed", 12345, "Seed of the choice and the order of examples.")

group("The output")
flags.DEFINE_string("output_dir", None, "Folder for the tables.")


def main(_: Sequence[str]) -> None:
    from classification.tasks import get_task
    from experiments.task_subset import write_subset
    from training.options import TASK_FLAGS, TaskOptions, from_flags

    task = get_task(**from_flags(TaskOptions, FLAGS).values(TASK_FLAGS))
    write_subset(task, FLAGS.data_dir, FLAGS.num_labels, FLAGS.random_seed, FLAGS.output_dir)


if __name__ == "__main__":
    flags.mark_flags_as_required(["task_name", "data_dir", "output_dir"])
    cli.run(main)
