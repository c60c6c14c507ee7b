"""Finds batch size and learning rate on the development set, and runs the best with more seeds.

The flags after the -- are those of run_classifier.py or run_distill.py, for every run. By default the
grid is the one published with the 24 models: 4 epochs, batch sizes 8 to 128, learning rates 3e-4 to
3e-5. Run the same command again to continue; results are results.md and results.json.

Fine-tuning over the published grid, then five seeds of the best setting:
  python run_grid_search.py --script=run_classifier.py --output_dir=rte_grid -- \\
    --task_name=RTE --data_dir=glue/RTE --init_checkpoint=tiny
A smaller grid, two runs at a time, and predictions of the test set by the chosen setting alone:
  python run_grid_search.py --script=run_classifier.py --output_dir=mrpc_grid --jobs=2 \\
    --train_batch_sizes=16,32 --learning_rates=3e-4,1e-4 --seeds=1,2,3 -- \\
    --task_name=MRPC --data_dir=glue/MRPC --init_checkpoint=tiny --do_predict
Distillation, each run until five evaluations in a row bring nothing:
  python run_grid_search.py --script=run_distill.py --output_dir=pd_grid --num_train_epochs=20 -- \\
    --input_file='soft_labels/*.tfrecord' --init_checkpoint=tiny --task_name=SST-2 \\
    --data_dir=glue/SST-2 --evaluate_steps=500 --early_stopping_patience=5
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.flags import define_start_over_flag
from training.help import group

FLAGS = flags.FLAGS

group("What to run")
flags.DEFINE_enum(
    "script",
    "run_classifier.py",
    ["run_classifier.py", "run_distill.py"],
    "Script that every run of the grid calls, with the flags after the --.",
)
flags.DEFINE_string("output_dir", None, "Folder for all runs, their logs and the results.")

group("The grid")
flags.DEFINE_list("train_batch_sizes", ["8", "16", "32", "64", "128"], "Batch sizes of the grid.")
flags.DEFINE_list("learning_rates", ["3e-4", "1e-4", "5e-5", "3e-5"], "Learning rates of the grid.")
flags.DEFINE_float("num_train_epochs", 4.0, "Length of every run in passes over the training set.")

group("The runs")
flags.DEFINE_list(
    "seeds",
    ["1", "2", "3", "4", "5"],
    "Random seeds. The whole grid runs with the first, the best setting with all of them.",
)
define_start_over_flag(
    "Repeat finished runs whose flags, or the content of whose files, have changed since. By "
    "default such a change is refused."
)
flags.DEFINE_integer(
    "jobs", 1, "Number of runs at a time; they share the processor's cores.", lower_bound=1
)


def main(argv: Sequence[str]) -> None:
    import os

    from experiments.grid_report import write_report
    from experiments.grid_search import Grid, parse_values, search, split_arguments

    arguments, predict = split_arguments(argv[1:])
    grid = Grid(
        script=os.path.join(os.path.dirname(os.path.abspath(__file__)), FLAGS.script),
        arguments=arguments,
        output_dir=FLAGS.output_dir,
        train_batch_sizes=parse_values("train_batch_sizes", FLAGS.train_batch_sizes, int),
        learning_rates=parse_values("learning_rates", FLAGS.learning_rates, float),
        num_train_epochs=FLAGS.num_train_epochs,
        seeds=parse_values("seeds", FLAGS.seeds, int),
        predict=predict,
    )
    results = search(grid, FLAGS.jobs, FLAGS.start_over)
    print(write_report(grid, results), end="")


if __name__ == "__main__":
    flags.mark_flags_as_required(["output_dir"])
    cli.run(main, takes_arguments=True)
