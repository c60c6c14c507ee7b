"""Converts a BERT model of the Hugging Face library into a model folder of the original's form.

The result is accepted as --init_checkpoint by every script here and by google-research/bert:
  python convert_checkpoint.py --input_path=bert-base-uncased --output_dir=base
A cased model:
  python convert_checkpoint.py --input_path=bert-base-cased --do_lower_case=False --output_dir=cased
From the files of an installed Python package:
  python convert_checkpoint.py --input_path=site-packages/some_package/model --output_dir=teacher
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "input_path", None, "Folder with config.json, model.safetensors and vocab.txt of a BERT model."
)
flags.DEFINE_string("output_dir", None, "The model folder to write.")
flags.DEFINE_bool("do_lower_case", True, "Whether the model was trained on lower-cased text.")


def main(_: Sequence[str]) -> None:
    import os

    from modeling.huggingface import is_huggingface_folder, read_huggingface
    from modeling.model_folder import VOCAB_FILE, write_model_folder
    from modeling.tokenization import FullTokenizer

    if not is_huggingface_folder(FLAGS.input_path):
        raise UserError(
            f"--input_path={FLAGS.input_path}: no config.json with a model.safetensors beside it."
        )
    config, weights, labels = read_huggingface(FLAGS.input_path)
    tokenizer = FullTokenizer(os.path.join(FLAGS.input_path, VOCAB_FILE), FLAGS.do_lower_case)
    if tokenizer.vocab_size != config.vocab_size:
        raise UserError(
            f"{tokenizer.vocab_file} has {tokenizer.vocab_size} entries, config.json says "
            f"vocab_size {config.vocab_size}."
        )
    info = {
        "do_lower_case": FLAGS.do_lower_case,
        "vocab_sha256": tokenizer.sha256,
        "converted_from": os.path.basename(os.path.normpath(FLAGS.input_path)),
    }
    if labels:
        info["labels"] = labels
    write_model_folder(FLAGS.output_dir, weights, config, tokenizer.vocab_file, info)


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_path", "output_dir"])
    cli.run(main)
