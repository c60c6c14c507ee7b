"""Writes hidden states of a model for lines of text: vectors of every token, or of whole lines.

The file of the original script: for each line, the vectors of every token in four layers:
  python extract_features.py --init_checkpoint=uncased_L-4_H-256_A-4 --input_file=texts.txt \\
    --output_file=features.jsonl
Pairs are written in one line, as in "Who was Jim Henson ? ||| Jim Henson was a puppeteer".
One vector for each line, the mean over its tokens in the last layer, as JSON Lines:
  python extract_features.py --init_checkpoint=student --input_file='texts*.txt.gz' \\
    --output_file=vectors.jsonl --layers=-1 --pooling=mean
The same for NumPy: float32 [lines, hidden_size]:
  python extract_features.py --init_checkpoint=student --input_file=texts.txt \\
    --output_file=vectors.npy --layers=-1 --pooling=mean
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.flags import (
    VECTOR_PRECISIONS,
    define_device_flags,
    define_trained_model_flags,
)
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("The model")
flags.DEFINE_string(
    "init_checkpoint",
    None,
    "Model whose layers are read, in any form that convert_checkpoint.py reads: model folder, prefix "
    "of a checkpoint, output folder of a run, Hugging Face or Model Garden checkpoint.",
)
define_trained_model_flags()

group("Input and output")
flags.DEFINE_string(
    "input_file",
    None,
    "Text: files, globs and folders, separated by commas, plain or compressed. A line is a text, or "
    "a pair with ||| between its texts.",
)
flags.DEFINE_string(
    "output_file",
    None,
    "File to write: JSON Lines, or with --pooling a .npy file for NumPy.",
)
flags.DEFINE_list(
    "layers",
    None,
    "Layers to write, counted from 0, or from -1 for the last one downwards. Default: -1,-2,-3,-4, "
    "or all layers of a model that has fewer.",
)
flags.DEFINE_enum(
    "pooling",
    None,
    ["cls", "mean"],
    "Write one vector of each layer for a line: cls, what stands at [CLS]; mean, the mean over all "
    "tokens, [CLS] and [SEP] included. Default: the vectors of every token.",
)
flags.DEFINE_integer(
    "batch_size",
    32,
    "Lines of full length per batch. A CPU takes fewer at a time where that is faster.",
    lower_bound=1,
)

group("Devices")
define_device_flags(VECTOR_PRECISIONS)


def main(_: Sequence[str]) -> None:
    from serving import features

    features.run(from_flags(features.FeatureOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["init_checkpoint", "input_file", "output_file"])
    cli.run(main)
