"""Sizes and speeds of the 24 students beside BERT-Large: Table 1 of Turc et al. (2019) here.

Speed-up is the time of a forward pass of Large over that of the student, both measured in turn. The
paper's setting is batch 1 and length 512 on Cloud TPUs.

Sizes alone, at once:
  python benchmark_models.py --output_dir=table1 --nomeasure
The whole table on this machine:
  python benchmark_models.py --output_dir=table1 --precision=bfloat16
Some models, at the length of one's own task:
  python benchmark_models.py --output_dir=mine --models=tiny,4/512,base --seq_length=128
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.flags import define_device_flags
from training.help import group
from training.options import DeviceOptions, from_flags

FLAGS = flags.FLAGS

group("What to measure")
flags.DEFINE_list(
    "models",
    None,
    "Models to measure, by name (tiny) or number of layers and width (6/512). Default: the 24 "
    "students of the paper.",
)
flags.DEFINE_integer("batch_size", 1, "Inputs per forward pass.", lower_bound=1)
flags.DEFINE_integer("seq_length", 512, "WordPieces per input.", lower_bound=1, upper_bound=512)
flags.DEFINE_integer(
    "repetitions", 5, "Number of timed forward passes of each model.", lower_bound=1
)
flags.DEFINE_bool("measure", True, "Measure speeds. --nomeasure writes the sizes alone, at once.")

group("The output")
flags.DEFINE_string("output_dir", None, "Folder for the results, table1.md and table1.json.")

group("Devices")
define_device_flags()


def main(_: Sequence[str]) -> None:
    from benchmarks.model_table import measure_speedups, model_configs, write_table
    from training.strategy import create_strategy

    configs = model_configs(FLAGS.models)
    times = {}
    if FLAGS.measure:
        strategy = create_strategy(from_flags(DeviceOptions, FLAGS))
        times = measure_speedups(
            configs,
            strategy,
            FLAGS.precision,
            FLAGS.batch_size,
            FLAGS.seq_length,
            FLAGS.repetitions,
        )
    setting = {
        "batch_size": FLAGS.batch_size,
        "seq_length": FLAGS.seq_length,
        "precision": FLAGS.precision,
        "repetitions": FLAGS.repetitions,
    }
    print(write_table(FLAGS.output_dir, configs, times, setting))


if __name__ == "__main__":
    flags.mark_flags_as_required(["output_dir"])
    cli.run(main)
