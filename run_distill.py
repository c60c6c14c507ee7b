"""Distils a teacher's soft labels into a student (Turc et al. 2019, section 3).

The records come from `create_soft_labels.py`. A labelled task is only needed to evaluate or predict.

Pre-trained Distillation, evaluated on the task every 500 updates:
  python run_distill.py --input_file='soft_labels/*.tfrecord' --init_checkpoint=tiny \\
    --output_dir=tiny_pd --do_train --do_eval --task_name=SST-2 --data_dir=glue/SST-2 \\
    --learning_rate=3e-4 --num_train_epochs=3 --evaluate_steps=500
Distillation into random weights, at another temperature and with a share of true labels:
  python run_distill.py --input_file='soft_labels/*.tfrecord' --bert_config_file=6/512 \\
    --vocab_file=vocab.txt --output_dir=kd --do_train --temperature=2 --hard_label_weight=0.3
Predictions of the student:
  python run_distill.py --input_file='soft_labels/*.tfrecord' --init_checkpoint=tiny_pd \\
    --output_dir=predictions --do_predict --task_name=SST-2 --data_dir=glue/SST-2
"""

from collections.abc import Sequence

from absl import flags

from common.errors import UserError
from training import cli
from training.data_flags import define_task_flags, define_text_flags
from training.flags import (
    define_device_flags,
    define_epoch_flags,
    define_head_flag,
    define_initialization_flags,
    define_model_flags,
    define_optimization_flags,
    define_sharding_flag,
)
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("The soft labels")
flags.DEFINE_string(
    "input_file",
    None,
    "Soft-label TFRecords to train on: files, globs and folders, separated by commas.",
)
flags.DEFINE_string(
    "eval_file",
    None,
    "Held-out soft-label TFRecords, on which --do_eval also measures the student's agreement with "
    "the teacher: files, globs and folders, separated by commas. Without them, agreement by label "
    "and disagreements.csv are of the first 10,000 of --input_file.",
)
define_sharding_flag()
flags.DEFINE_float(
    "temperature",
    1.0,
    "Temperature of the softmax over the logits of teacher and student; the paper uses 1.",
)
flags.DEFINE_float(
    "hard_label_weight",
    0.0,
    "Weight of the loss on true labels, between 0 and 1, where the records hold them; the loss on "
    "soft labels has the rest. The paper uses 0.",
    lower_bound=0.0,
    upper_bound=1.0,
)

flags.DEFINE_float(
    "patience_weight",
    0.0,
    "Weight of the distance between the [CLS] hidden states of teacher and student (Patient "
    "Knowledge Distillation). The records must hold the teacher's states (--hidden_state_layers of "
    "create_soft_labels.py). 0 leaves the distance out, as the paper does.",
    lower_bound=0.0,
)
flags.DEFINE_enum(
    "patience_layers",
    "skip",
    ["skip", "last"],
    "Layers of the teacher whose hidden states the student follows with --patience_weight: skip, "
    "every k-th layer, k being the teacher's number of layers over the student's; last, the layers "
    "directly below the teacher's last one. With 12 and 6 layers: 2,4,6,8,10 or 7,8,9,10,11.",
)

group("The student")
define_model_flags()
define_initialization_flags()
define_head_flag()
define_text_flags()

group("The task the student is evaluated on")
define_task_flags()

group("What to do")
flags.DEFINE_bool("do_train", False, "Train the student on the soft labels.")
flags.DEFINE_bool(
    "do_eval",
    False,
    "Evaluate the student on the development set of the task, and on --eval_file; writes "
    "eval_results.txt, and a comparison with the teacher: agreement.json (by label) and "
    "disagreements.csv (single texts).",
)
flags.DEFINE_bool(
    "do_predict", False, "Predict the labels of the task's test set; writes test_results.tsv."
)

group("Training")
define_optimization_flags()
define_epoch_flags()

group("Devices")
define_device_flags()


def main(_: Sequence[str]) -> None:
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UserError("nothing to do: pass --do_train, --do_eval or --do_predict.")
    if FLAGS.temperature <= 0:
        raise UserError(f"--temperature={FLAGS.temperature} must be above 0.")
    if FLAGS.do_predict and not FLAGS.task_name:
        raise UserError("--do_predict needs the task to predict: pass --task_name and --data_dir.")
    if FLAGS.do_eval and not (FLAGS.task_name or FLAGS.eval_file):
        raise UserError("--do_eval needs --task_name with --data_dir, or --eval_file.")

    from distillation import student_training

    student_training.run(from_flags(student_training.DistillationOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["input_file", "output_dir"])
    cli.run(main)
