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

from common.errors import UserError
from training import cli
from training.flag_checks import refuse_flags
from training.help import group

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
    False,
    "Let the classifier take pairs of texts instead of single ones. Only with "
    "--output_format=saved_model.",
)
flags.DEFINE_integer(
    "max_seq_length",
    128,
    "Longest input of the classifier's tokenizer in WordPieces, [CLS] and [SEP] included. Only "
    "with --output_format=saved_model.",
    lower_bound=4,
)
flags.DEFINE_bool(
    "verify",
    True,
    "Before the converted model gets its name, read back what was written, and compare its outputs "
    "with those of the other format's library where that is installed.",
)


def main(_: Sequence[str]) -> None:
    import logging
    import os

    from checkpoints.conversion import (
        label_order,
        read_training_state,
        read_weights,
        reorder_outputs,
    )
    from checkpoints.formats import find_weights
    from checkpoints.hugging_face import write_huggingface
    from checkpoints.model_folder import write_model_folder
    from checkpoints.model_garden import write_model_garden
    from checkpoints.model_sources import resolve_model
    from checkpoints.verification import check_outputs, check_written
    from common.atomic import new_folder
    from common.outputs import check_folder_apart, checkpoint_file
    from modeling.heads import CLASSIFIER_WEIGHTS
    from modeling.tokenization import ORIGINAL_SETTINGS
    from serving.saved_model import write_classifier_saved_model, write_encoder_saved_model

    # The model, checked as a whole.
    stored = find_weights(FLAGS.input_path, "input_path")
    if FLAGS.input_format not in ("auto", stored.form):
        raise UserError(
            f"--input_format={FLAGS.input_format}, but {stored.path} has the form {stored.form}."
        )
    inputs = {"input_path": checkpoint_file(FLAGS.input_path)}
    check_folder_apart("output_dir", FLAGS.output_dir, inputs)
    sources = resolve_model(
        FLAGS.bert_config_file, FLAGS.vocab_file, stored.path, FLAGS.do_lower_case
    )
    config, vocab_file = sources.config, sources.vocab_file
    weights = read_weights(stored, config)
    training_state = read_training_state(stored) if FLAGS.include_optimizer else {}
    if FLAGS.verify and (finding := check_outputs(stored, config, weights)):
        logging.info("Verified: %s.", finding)
    if CLASSIFIER_WEIGHTS in weights:
        sources.check_head(stored.path)
    labels = sources.labels
    if vocab_file is None:
        logging.warning(
            "There is no vocabulary beside %s, so %s gets none; --vocab_file names one.",
            stored.path,
            FLAGS.output_dir,
        )
    if CLASSIFIER_WEIGHTS not in weights:
        refuse_flags(FLAGS, ("pairs", "max_seq_length"), f"{stored.path} holds no classifier")
    if FLAGS.labels:
        order = label_order(weights, labels, FLAGS.labels)
        weights = reorder_outputs(weights, order)
        training_state = reorder_outputs(training_state, order)
        labels = FLAGS.labels

    tokenizer = sources.tokenizer if FLAGS.include_tokenizer else None
    if FLAGS.output_format == "saved_model" and FLAGS.include_tokenizer:
        for flag, value in (("vocab_file", tokenizer), ("do_lower_case", sources.do_lower_case)):
            if value is None:
                raise UserError(
                    f"--{flag} is not recorded beside {stored.path}; pass it, or "
                    "--noinclude_tokenizer for a SavedModel that takes ids."
                )

    # The other form of it, complete and compared before it gets its name.
    info = {
        **sources.tokenizer_info(),
        "labels": labels,
        "converted_from": os.path.basename(os.path.normpath(stored.path)),
    }
    info = {key: value for key, value in info.items() if value is not None}
    with new_folder(FLAGS.output_dir) as folder:
        if FLAGS.output_format == "tf1":
            write_model_folder(folder, weights, config, vocab_file, info, training_state)
        elif FLAGS.output_format == "hf":
            settings = sources.tokenizer.settings if sources.tokenizer else ORIGINAL_SETTINGS
            write_huggingface(
                folder, weights, config, vocab_file, sources.do_lower_case, labels, settings
            )
        elif FLAGS.output_format == "model_garden":
            write_model_garden(folder, weights, config, vocab_file, info)
        elif CLASSIFIER_WEIGHTS in weights:
            write_classifier_saved_model(
                folder, weights, config, tokenizer, labels, FLAGS.max_seq_length, FLAGS.pairs
            )
        else:
            if sources.tokenizer and (other := sources.tokenizer.settings.to_dict()):
                logging.warning(
                    "The SavedModel of an encoder holds the vocabulary and the casing, but not these "
                    "settings of the tokenizer, which whoever makes its ids has to know: %s.",
                    other,
                )
            write_encoder_saved_model(folder, weights, config, vocab_file, sources.do_lower_case)
        if FLAGS.verify:
            for finding in check_written(folder, config, weights):
                logging.info("Verified: %s.", finding)


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_path", "output_dir"])
    cli.run(main)
