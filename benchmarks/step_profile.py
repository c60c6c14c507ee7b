"""Time of one training step by kind of operation.

The rows are those that `benchmarks.compare` leaves in the folder `work` of its output:
  python -m benchmarks.step_profile --input=comparison/work/pretraining.npz --size=small
  python -m benchmarks.step_profile --input=comparison/work/sst2.npz --loop=distillation --size=tiny
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from absl import flags

from training import cli
from training.help import group

FLAGS = flags.FLAGS

group("What to profile")
flags.DEFINE_string(
    "input", None, "Rows to train on, a file .npz that benchmarks.compare has written."
)
flags.DEFINE_enum(
    "loop",
    "pretraining",
    ["pretraining", "finetuning", "distillation"],
    "Training step to profile.",
)
flags.DEFINE_string("size", "tiny", "Model, by name or number of layers and width (6/512).")
flags.DEFINE_enum("precision", "bfloat16", ["bfloat16", "float32"], "Precision of matrix products.")
flags.DEFINE_integer("batch_size", 32, "Rows per batch.", lower_bound=1)
flags.DEFINE_integer("steps", 20, "Number of steps whose mean is printed.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    from benchmarks.ours import training
    from benchmarks.timing import operation_times
    from modeling.config import load_config

    config = load_config(FLAGS.size)
    arguments = argparse.Namespace(
        loop=FLAGS.loop,
        input=FLAGS.input,
        model=f"{config.num_hidden_layers},{config.hidden_size}",
        precision=FLAGS.precision,
        batch_size=FLAGS.batch_size,
        batches=FLAGS.steps,
    )
    work, _facts = training(arguments)
    work()
    start = time.perf_counter()
    work()
    step = (time.perf_counter() - start) / FLAGS.steps
    milliseconds = operation_times(work)
    total = sum(milliseconds.values())
    print(f"A step takes {1e3 * step:.1f} ms; its operations {total / FLAGS.steps:.1f} ms:")
    print("| Operation | ms per step | share |\n|---|---|---|")
    for name, value in milliseconds.most_common():
        if value >= 0.005 * total:
            print(f"| {name} | {value / FLAGS.steps:.2f} | {100 * value / total:.0f} % |")


if __name__ == "__main__":
    flags.mark_flags_as_required(["input"])
    cli.run(main)
