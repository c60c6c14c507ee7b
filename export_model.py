"""Exports a trained model to the runtimes that people have, small, fast and checked.

LiteRT (phones, browsers, servers without TensorFlow), ONNX (ONNX Runtime, Optimum, transformers.js)
and SavedModel. Every file is run by its own runtime and compared with the model; one that loses too
much accuracy is not kept. The folder has a runner and a server of its own.

A student in all formats, int8 weights, compared on the development set of its task:
  python export_model.py --input_path=tiny_pdf --output_dir=shipped --task_name=SST-2 \\
    --data_dir=glue/SST-2 --label_names=negative,positive
One file of 4.7 MB for a phone, compared on texts without labels:
  python export_model.py --input_path=tiny_pdf --output_dir=phone --formats=litert \\
    --eval_file=reviews.txt
All LiteRT forms beside each other, full int8 for an accelerator among them:
  python export_model.py --input_path=tiny_pdf --output_dir=forms --formats=litert \\
    --quantization=none,float16,dynamic_int8,full_int8 --task_name=SST-2 --data_dir=glue/SST-2
"""

from collections.abc import Sequence

from absl import flags

from training import cli
from training.data_flags import define_casing_flag, define_task_flags
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("The model")
flags.DEFINE_string(
    "input_path",
    None,
    "Model to export, in any form that convert_checkpoint.py reads: model folder, output folder of "
    "a run, Hugging Face folder. Without a classifier its encoder is exported.",
)
flags.DEFINE_list(
    "label_names",
    None,
    "New names of the labels, in the order of the classifier's outputs, such as negative,positive "
    "for 0,1. Default: those recorded with the model.",
)
flags.DEFINE_integer(
    "max_seq_length",
    None,
    "Longest input in WordPieces, [CLS] and [SEP] included; longer texts are cut. Default: that of "
    "the model's training.",
    lower_bound=4,
)
flags.DEFINE_bool(
    "pairs",
    None,
    "The model takes pairs of texts. Default: as in its training; where that is not recorded, as the "
    "task or --eval_file says, and else single texts.",
)

group("What the files do not say")
flags.DEFINE_string(
    "bert_config_file",
    None,
    "Architecture of the model, a bert_config.json or a size by name, where no configuration lies "
    "beside the weights.",
)
flags.DEFINE_string(
    "vocab_file", None, "WordPiece vocabulary of the model, where none lies beside the weights."
)
define_casing_flag()

group("What to write")
flags.DEFINE_string("output_dir", None, "Folder for the exported model; must be new or empty.")
flags.DEFINE_list(
    "formats",
    ["litert", "onnx", "saved_model"],
    "Formats, some of: litert, LiteRT (TensorFlow Lite); onnx; saved_model, float32 in any case.",
)
flags.DEFINE_list(
    "quantization",
    ["dynamic_int8"],
    "Precisions of the LiteRT and ONNX files, separated by commas: none (float32), float16 "
    "(weights of half the size), dynamic_int8 (weights of a quarter of the size, the fastest on "
    "CPUs), full_int8 (activations in int8 as well, for accelerators; LiteRT only).",
)
flags.DEFINE_string(
    "model_name",
    None,
    "Name under which the server in the folder offers the model. Default: the name of the folder "
    "--input_path.",
)

flags.DEFINE_string(
    "keep_vocabulary_of",
    None,
    "Texts of a domain, files or patterns separated by commas: keep only the WordPieces in them "
    "(and all single characters), which makes a small model much smaller. The folder gets the "
    "pruned model as a model folder as well. Needs --task_name or --eval_file, with other texts, "
    "to compare the pruned model with the whole one.",
)

group("What to compare on")
flags.DEFINE_string(
    "eval_file",
    None,
    "Texts without labels to compare decisions on, in place of a task: a text file, one text per "
    "line, or a table (.tsv).",
)
flags.DEFINE_string(
    "calibration_file",
    None,
    "Texts on which --quantization=full_int8 measures the size of activations. Default: the "
    "training set of the task.",
)
flags.DEFINE_float(
    "max_accuracy_drop",
    1.0,
    "Points of accuracy that a file may lose against the model; one that loses more is not kept. "
    "In a regression, hundredths of the task's metric.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "max_disagreement",
    5.0,
    "Percentage of rows on which a file may decide otherwise than the model; one with more is not "
    "kept.",
    lower_bound=0.0,
    upper_bound=100.0,
)
flags.DEFINE_bool(
    "measure", True, "Measure the milliseconds and the memory of every file, in a process each."
)

group("The task to compare on")
define_task_flags()


def main(_: Sequence[str]) -> None:
    from serving import export

    print(export.export(from_flags(export.ExportOptions, FLAGS)))


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_path", "output_dir"])
    cli.run(main)
