"""Draws what runs have on record: losses, learning rate, gradient norm, speed, evaluations.

One run, everything that it has, also while it is still training:
  python plot_runs.py --runs=student --output_file=student.png
Several runs in one picture:
  python plot_runs.py --runs=tiny_basic,tiny_pd,tiny_pdf --output_file=curves.png
Chosen values, as vectors for a paper:
  python plot_runs.py --runs=one,two --metrics=loss,eval_accuracy --output_file=curves.svg
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("What to draw")
flags.DEFINE_list(
    "runs", None, "Output folders of training runs, separated by commas; each is a line."
)
flags.DEFINE_list(
    "metrics",
    None,
    "Metrics to draw, each in axes of its own, such as loss,learning_rate,gradient_norm,"
    "examples_per_second,eval_accuracy. Those of evaluations begin with eval_. Default: all "
    "that the runs have on record.",
)

group("Output")
flags.DEFINE_string("output_file", None, "Picture to write: .png or .svg.")


def main(_: Sequence[str]) -> None:
    from training import curves

    curves.run(from_flags(curves.CurveOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["runs", "output_file"])
    cli.run(main)
