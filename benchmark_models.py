"""Sizes and speeds of models: Table 1 of Turc et al. (2019) here, or the largest within a budget.

Without --formats it is Table 1: speed-up is the time of a forward pass of Large over that of the
student, both measured in turn. The paper's setting is batch 1 and length 512 on Cloud TPUs.

Sizes alone, at once:
  python benchmark_models.py --output_dir=table1 --nomeasure
The whole table on this machine:
  python benchmark_models.py --output_dir=table1 --precision=bfloat16
The largest student that answers in 2 ms and takes 15 MB, as LiteRT and ONNX with int8 weights:
  python benchmark_models.py --output_dir=which --formats=litert,onnx --seq_length=64 \\
    --models=tiny,4/128,mini,4/512,6/512,my_student --max_ms=2 --max_mb=15
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.flags import define_device_flags
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("What to measure")
flags.DEFINE_list(
    "models",
    None,
    "Models to measure, by name (tiny) or number of layers and width (6/512); with --formats also "
    "folders of models, with their own weights, labels and vocabularies. Default: the 24 students "
    "of the paper; with --formats tiny to base. Without --formats, Large is always measured as "
    "well.",
)
flags.DEFINE_integer("seq_length", 512, "WordPieces per input.", lower_bound=1, upper_bound=512)

group("Table 1")
flags.DEFINE_integer("batch_size", 1, "Inputs per forward pass.", lower_bound=1)
flags.DEFINE_integer(
    "repetitions", 5, "Number of timed forward passes of each model.", lower_bound=1
)
flags.DEFINE_bool("measure", True, "Measure speeds. --nomeasure writes the sizes alone, at once.")

group("The largest model within a budget")
flags.DEFINE_list(
    "formats",
    None,
    "Formats in which each model is exported and measured, separated by commas: litert, onnx, "
    "saved_model. Default: no export; Table 1 of the paper is measured instead.",
)
flags.DEFINE_list(
    "quantization",
    ["dynamic_int8"],
    "Precisions of LiteRT and ONNX, some of none (float32), float16, dynamic_int8.",
)
flags.DEFINE_list(
    "batch_sizes",
    ["1"],
    "Rows per call of an exported model (--formats); --max_ms is compared with the first number.",
)
flags.DEFINE_list(
    "threads",
    ["1"],
    "Threads of an exported model (--formats); --max_ms is compared with the first number.",
)
flags.DEFINE_float(
    "max_ms",
    None,
    "Milliseconds that a call of an exported model (--formats) may take.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "max_mb",
    None,
    "Megabytes that the file of an exported model (--formats) may have.",
    lower_bound=0.0,
)

group("The output")
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder for the results: table1.md and table1.json, or models.md, models.json and models.png.",
)

group("Devices of Table 1")
define_device_flags()


def main(_: Sequence[str]) -> None:
    if FLAGS.formats:
        from benchmarks.adviser import AdviserOptions, advise

        print(advise(from_flags(AdviserOptions, FLAGS)), end="")
        return

    from benchmarks.model_table import TableOptions, make_table

    print(make_table(from_flags(TableOptions, FLAGS)))


if __name__ == "__main__":
    flags.mark_flags_as_required(["output_dir"])
    cli.run(main)
