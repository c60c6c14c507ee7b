"""Memory and time of the models on TPUs as the TPU compiler estimates them; no TPU is needed.

The compiler is that of the packages jax and libtpu: pip install -r requirements-tpu.lock (Python 3.11
or later). Inference has the setting of the paper's Table 1(b); training is a pre-training step. A run
that was interrupted goes on with the models that are missing.

Two models on a TPU v2, in a few minutes:
  python estimate_tpu.py --output_dir=estimate --models=tiny,mini
The 24 students and Large, as in benchmarks/results:
  python estimate_tpu.py --output_dir=estimate --generations=v2,v3,v4,v5e,v5p,v6e
Whether a training step fits: one's own batch and length, on one core of a TPU v3:
  python estimate_tpu.py --output_dir=mine --models=base --generations=v3 --precision=bfloat16 \\
    --training_batch_size=64 --training_seq_length=512 --max_predictions_per_seq=80
"""

from collections.abc import Sequence

from absl import flags

from benchmarks.tpu_compiler import GENERATIONS, check_installed
from common.errors import UserError
from training import cli
from training.help import group

FLAGS = flags.FLAGS

group("What to compile")
flags.DEFINE_list(
    "models",
    None,
    "Models to compile, by name (tiny) or number of layers and width (6/512); Large is always "
    "added. Default: the 24 students of the paper.",
)
flags.DEFINE_list(
    "generations", ["v2"], f"TPU generations to compile for, of {', '.join(GENERATIONS)}."
)
flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "bfloat16"],
    "Precision of matrix products in the program; a TPU multiplies in bfloat16 in either case.",
)

group("Inference")
flags.DEFINE_integer("batch_size", 1, "Inputs per forward pass in inference.", lower_bound=1)
flags.DEFINE_integer(
    "seq_length", 512, "WordPieces per input in inference.", lower_bound=1, upper_bound=512
)

group("Training")
flags.DEFINE_integer(
    "training_batch_size",
    32,
    "Records per pre-training step and TPU core; 0 leaves training out.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "training_seq_length",
    128,
    "WordPieces per record of the pre-training step.",
    lower_bound=4,
    upper_bound=512,
)
flags.DEFINE_integer(
    "max_predictions_per_seq",
    20,
    "Masked WordPieces per record of the pre-training step.",
    lower_bound=1,
)

group("The output")
flags.DEFINE_string("output_dir", None, "Folder for the results, tpu_estimate.md and .json.")


def main(_: Sequence[str]) -> None:
    for generation in FLAGS.generations:
        if generation not in GENERATIONS:
            raise UserError(f"--generations: {generation} is not one of {', '.join(GENERATIONS)}.")
    check_installed()

    from benchmarks.model_table import model_configs
    from benchmarks.tpu_table import Setting, estimate, write_table

    configs = model_configs(FLAGS.models)
    setting = Setting(
        FLAGS.precision,
        FLAGS.batch_size,
        FLAGS.seq_length,
        FLAGS.training_batch_size,
        FLAGS.training_seq_length,
        FLAGS.max_predictions_per_seq,
    )
    estimates = estimate(configs, FLAGS.generations, setting, FLAGS.output_dir)
    print(write_table(FLAGS.output_dir, estimates, setting))


if __name__ == "__main__":
    flags.mark_flags_as_required(["output_dir"])
    cli.run(main)
