"""Pre-trains a BERT model on masked words and next sentences.

Records come from `create_pretraining_data.py`, or from the original's script of that name.

A minute on a CPU:
  python run_pretraining.py --bert_config_file=tiny --vocab_file=vocab.txt \\
    --input_file=records.tfrecord --output_dir=tiny --do_train --do_eval \\
    --num_train_steps=100 --num_warmup_steps=10 --precision=bfloat16
Continue pre-training a released model on text of your own:
  python run_pretraining.py --init_checkpoint=uncased_L-4_H-256_A-4 --input_file='records*' \\
    --output_dir=adapted --do_train --learning_rate=2e-5 --num_train_steps=10000
The setting of Devlin et al. (2018), on a TPU:
  python run_pretraining.py --bert_config_file=small --vocab_file=vocab.txt \\
    --input_file='gs://bucket/records*' --output_dir=gs://bucket/small --do_train \\
    --train_batch_size=256 --learning_rate=1e-4 --num_train_steps=1000000 --use_tpu --tpu_name=NAME
DistilBERT (Sanh et al. 2019), every other layer of the teacher as a start:
  python run_pretraining.py --teacher=bert_base --init_checkpoint=bert_base \\
    --bert_config_file=6/768 --init_strategy=truncate_every_other --input_file='records*' \\
    --output_dir=distilbert --do_train
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.data_flags import define_casing_flag
from training.flags import (
    define_device_flags,
    define_initialization_flags,
    define_model_flags,
    define_optimization_flags,
    define_sharding_flag,
)
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("The model and the data")
define_model_flags()
define_initialization_flags()
flags.DEFINE_bool(
    "init_local_attention",
    False,
    "Begin a new model with position embeddings that are sinusoids and with keys equal to queries: "
    "attention looks at neighbours from the first update on, and a small model needs fewer tokens. "
    "Not with --init_checkpoint.",
)
flags.DEFINE_string(
    "input_file", None, "Pre-training TFRecords: files, globs and folders, separated by commas."
)
flags.DEFINE_string(
    "eval_file",
    None,
    "Held-out pre-training TFRecords for --do_eval: files, globs and folders, separated by commas. "
    "Default: --input_file, as in the original.",
)
define_sharding_flag()
flags.DEFINE_string(
    "vocab_file",
    None,
    "WordPiece vocabulary of the records; it is compared with theirs and copied into the model "
    "folder. Default: that of --init_checkpoint.",
)
define_casing_flag()
flags.DEFINE_integer(
    "max_seq_length",
    128,
    "Length of the records' sequences in WordPieces. Must be that of create_pretraining_data.py.",
    lower_bound=4,
)
flags.DEFINE_integer(
    "max_predictions_per_seq",
    20,
    "Masked positions per record. Must be that of create_pretraining_data.py.",
    lower_bound=1,
)

group("A teacher, as in DistilBERT")
flags.DEFINE_string(
    "teacher",
    None,
    "Pre-trained model to distil during pre-training, in any form that --init_checkpoint takes; "
    "the loss becomes DistilBERT's.",
)
flags.DEFINE_float(
    "teacher_temperature",
    2.0,
    "Temperature of the softmax of teacher and student in the soft masked LM loss. Only with "
    "--teacher.",
    lower_bound=1e-3,
)
flags.DEFINE_float(
    "soft_masked_lm_weight",
    5.0,
    "Weight of the soft masked LM loss, the cross entropy with the teacher's predictions of masked "
    "words. Only with --teacher.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "masked_lm_weight",
    2.0,
    "Weight of the masked LM loss, the cross entropy with the true masked words. Only with "
    "--teacher; without one it is the loss, beside next-sentence prediction.",
    lower_bound=0.0,
)
flags.DEFINE_float(
    "cosine_weight",
    1.0,
    "Weight of the cosine distance between the last hidden states of teacher and student. Only "
    "with --teacher; above 0 the student must have the teacher's width.",
    lower_bound=0.0,
)

group("What to do")
flags.DEFINE_bool("do_train", False, "Pre-train the model on --input_file.")
flags.DEFINE_bool("do_eval", False, "Evaluate the model on --eval_file; writes eval_results.txt.")

group("Training")
define_optimization_flags()
flags.DEFINE_integer("num_train_steps", 100000, "Length of training in updates.", lower_bound=1)
flags.DEFINE_integer(
    "num_warmup_steps",
    10000,
    "Number of updates during which the learning rate rises from 0 to --learning_rate.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "eval_batch_size", 8, "Records per batch in evaluation (--do_eval).", lower_bound=1
)
flags.DEFINE_integer(
    "max_eval_steps", 100, "Largest number of batches in one evaluation.", lower_bound=1
)

group("Devices")
define_device_flags()


def main(_: Sequence[str]) -> None:
    if not (FLAGS.do_train or FLAGS.do_eval):
        raise UserError("nothing to do: pass --do_train, --do_eval or both.")

    from pretraining import training_run

    training_run.run(from_flags(training_run.PretrainingOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_file", "output_dir"])
    cli.run(main)
