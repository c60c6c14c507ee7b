"""Converts a BERT model between the forms that BERT tools read, heads included.

Read: original checkpoints (tf1), Hugging Face folders (hf), Model Garden checkpoints (model_garden)
and saved states of our runs (run). Written: the first three, and SavedModels.

A Hugging Face BERT as a model folder for google-research/bert and for every script here:
  python convert_checkpoint.py --input_path=bert-base-uncased --output_dir=base
A student for Hugging Face (the label list comes from the model folder):
  python convert_checkpoint.py --input_path=tiny_pdf --output_format=hf --output_dir=tiny_hf
A finished student as one program, raw strings in, probabilities out:
  python convert_checkpoint.py --input_path=tiny_pdf --output_format=saved_model --output_dir=served
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("What to read")
flags.DEFINE_string(
    "input_path",
    None,
    "Model to read: model folder, prefix of a checkpoint, output folder of a run, Hugging Face "
    "folder or Model Garden checkpoint.",
)
flags.DEFINE_enum(
    "input_format",
    "auto",
    ["auto", "tf1", "hf", "model_garden", "run"],
    "Format of --input_path: auto recognises it; tf1, google-research/bert; hf, Hugging Face; "
    "model_garden; run, saved states of a training run here.",
)

group("What the files do not say")
flags.DEFINE_string(
    "bert_config_file",
    None,
    "Architecture of the model, a bert_config.json or a size by name, where no configuration lies "
    "beside the checkpoint.",
)
flags.DEFINE_string(
    "vocab_file", None, "WordPiece vocabulary of the model, where none lies beside the checkpoint."
)
flags.DEFINE_bool(
    "do_lower_case",
    None,
    "Casing that the model was trained with, where the checkpoint does not record it: lower-cased, "
    "or cased (--nodo_lower_case).",
)
flags.DEFINE_list(
    "labels",
    None,
    "Labels of the classifier in the order of its outputs. Where the checkpoint records labels, "
    "the outputs are put in this order.",
)

group("What to write")
flags.DEFINE_string("output_dir", None, "Folder for the converted model; must be new or empty.")
flags.DEFINE_enum(
    "output_format",
    "tf1",
    ["tf1", "hf", "model_garden", "saved_model"],
    "Format of the converted model: tf1, a model folder for google-research/bert and every script "
    "here; hf, Hugging Face; model_garden; saved_model, a program for TensorFlow.",
)
flags.DEFINE_bool(
    "include_optimizer",
    False,
    "Also write the optimizer's moments and the step (adam_m, adam_v, global_step), so that "
    "training can go on. Only with --output_format=tf1.",
)
flags.DEFINE_bool(
    "include_tokenizer",
    True,
    "Let the classifier take raw strings as well as ids. Only with --output_format=saved_model.",
)
flags.DEFINE_bool(
    "pairs",
    None,
    "Let the classifier take pairs of texts instead of single ones. Only with "
    "--output_format=saved_model. Default: as in the model's training, single texts where that is "
    "not recorded.",
)
flags.DEFINE_integer(
    "max_seq_length",
    None,
    "Longest input of the classifier's tokenizer in WordPieces, [CLS] and [SEP] included. Only "
    "with --output_format=saved_model. Default: that of the model's training.",
    lower_bound=4,
)
flags.DEFINE_bool(
    "verify",
    True,
    "Before the converted model gets its name, read back what was written, and compare its outputs "
    "with those of the other format's library where that is installed.",
)


def main(_: Sequence[str]) -> None:
    from serving import conversion

    conversion.convert(from_flags(conversion.ConversionOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_path", "output_dir"])
    cli.run(main)
