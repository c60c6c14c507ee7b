"""Measures our loops beside their peers: one command, one machine, the same real input.

Contestants of a group take turns, round after round; the table has medians over the rounds, their
spread, and how many times faster our best mode is. Each peer runs in an environment of its own, whose
Python is given by a flag; a peer that cannot run is a row that says why. A group that is finished is
kept in --output_dir and not measured again: remove its file to do so, or where it was measured with
other flags or on another machine.

  python -m benchmarks.compare --text_file=wikipedia.txt.xz --vocab_file=vocab.txt \\
    --sst2_dir=glue/SST-2 --reviews_file=movie_reviews.txt.xz --output_dir=comparison \\
    --teacher=teacher --hugging_face_python=hf/bin/python --original_python=tf1/bin/python \\
    --original_dir=bert
Data creation alone, on 50 MB:
  python -m benchmarks.compare --loops=data --text_megabytes=50 --text_file=wikipedia.txt.xz \\
    --vocab_file=vocab.txt --output_dir=comparison_data --original_python=tf1/bin/python \\
    --original_dir=bert
Engines of labelling, beside bare loops of ONNX Runtime and OpenVINO and beside Hugging Face:
  python -m benchmarks.compare --loops=engines --teacher=teacher --sst2_dir=glue/SST-2 \\
    --reviews_file=movie_reviews.txt.xz --text_file=text.txt --vocab_file=vocab.txt \\
    --output_dir=comparison_engines --timeout_seconds=600
One size, ours and Model Garden's step:
  python -m benchmarks.compare --loops=ceilings,pretraining --sizes=small --text_file=text.txt \\
    --vocab_file=vocab.txt --output_dir=comparison_small
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.flags import ENGINES
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

ALL_LOOPS = [
    "ceilings",
    "data",
    "pretraining",
    "finetuning",
    "distillation",
    "labelling",
    "engines",
]

group("What to measure")
flags.DEFINE_list("loops", ALL_LOOPS, "Loops to measure.")
flags.DEFINE_list(
    "sizes", ["tiny", "mini", "small", "medium"], "Models whose pre-training is measured."
)
flags.DEFINE_list(
    "classifier_sizes",
    ["tiny", "small", "base"],
    "Models whose fine-tuning and distillation are measured.",
)
flags.DEFINE_list("teacher_sizes", ["base", "large"], "Models whose labelling is measured.")
flags.DEFINE_list(
    "precisions",
    ["bfloat16", "float32"],
    "Precisions of matrix products to measure. Engines are measured in int8 as well.",
)
flags.DEFINE_bool("torch_compile", True, "Measure Hugging Face under torch.compile as well.")
flags.DEFINE_list("dupe_factors", ["1", "5"], "Numbers of passes of data creation to measure.")
flags.DEFINE_list(
    "engines",
    list(ENGINES),
    "Engines whose labelling is measured, beside bare loops of ONNX Runtime and OpenVINO, and "
    "beside Hugging Face.",
)

group("Input")
flags.DEFINE_string("text_file", None, "Text for pre-training, blank lines between documents.")
flags.DEFINE_float("text_megabytes", 6.0, "Megabytes of --text_file to use.", lower_bound=0.1)
flags.DEFINE_string("vocab_file", None, "Uncased WordPiece vocabulary of 30,522 entries.")
flags.DEFINE_string(
    "sst2_dir", None, "Folder of the task SST-2, for fine-tuning, distillation and labelling."
)
flags.DEFINE_string("reviews_file", None, "Long texts to label, one per line.")
flags.DEFINE_string("teacher", None, "Fine-tuned model whose engines are measured.")
flags.DEFINE_integer(
    "engine_texts",
    20000,
    "Number of sentences to label; a tenth as many reviews are labelled.",
    lower_bound=1,
)
flags.DEFINE_integer("batch_size", 32, "Rows per batch.", lower_bound=1)

group("Peers")
flags.DEFINE_string("model_garden_python", sys.executable, "Interpreter with tf-models-official.")
flags.DEFINE_string("hugging_face_python", "", "Interpreter with transformers and torch.")
flags.DEFINE_string("runtimes_python", sys.executable, "Interpreter with onnxruntime and openvino.")
flags.DEFINE_string("flax_python", "", "Interpreter with transformers 4, flax and optax.")
flags.DEFINE_string("keras_hub_python", "", "Interpreter with keras-hub and jax.")
flags.DEFINE_string("original_python", "", "Interpreter with TensorFlow 1.15.")
flags.DEFINE_string("original_dir", "", "Folder with a clone of google-research/bert.")

group("Measuring")
flags.DEFINE_string("output_dir", None, "Folder for results, logs and the input of the peers.")
flags.DEFINE_integer("rounds", 5, "Number of measurements of each contestant.", lower_bound=1)
flags.DEFINE_float(
    "timeout_seconds", 240.0, "Longest time in seconds of a warm-up, and of one measurement."
)
flags.DEFINE_float(
    "group_seconds",
    60.0,
    "Seconds after the beginning of a group of contestants from which on no new round begins.",
)


def main(_: Sequence[str]) -> None:
    for name, known in (("loops", ALL_LOOPS), ("engines", ENGINES)):
        unknown = sorted(set(FLAGS[name].value) - set(known))
        if unknown:
            raise UserError(f"--{name}: {unknown[0]} is not one of {', '.join(known)}.")

    from benchmarks.inputs import CompareOptions
    from benchmarks.loops import run

    run(from_flags(CompareOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["output_dir", "text_file", "vocab_file"])
    cli.run(main)
