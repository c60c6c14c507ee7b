"""Fine-tunes and evaluates a BERT classifier or regression model, and predicts with it.

A GLUE task from its folder, starting from a pre-trained model folder:
  python run_classifier.py --task_name=SST-2 --data_dir=glue/SST-2 --init_checkpoint=tiny \\
    --output_dir=sst2_tiny --do_train --do_eval --train_batch_size=32 --learning_rate=3e-4 \\
    --num_train_epochs=4
Any table with a header, from random weights:
  python run_classifier.py --task_name=tsv --text_a=sentence --label=topic --data_dir=my_task \\
    --bert_config_file=mini --vocab_file=vocab.txt --output_dir=my_model --do_train --do_eval
Predictions of a trained model (test_results.tsv; its columns are named in labels.txt), and their part
of a GLUE submission; here those of the model for MNLI on the diagnostic set:
  python run_classifier.py --task_name=AX --data_dir=glue/diagnostic --init_checkpoint=mnli_tiny \\
    --output_dir=ax_predictions --do_predict --make_glue_submission --submission_dir=submission
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
)
from training.help import group
from training.options import from_flags

FLAGS = flags.FLAGS

group("The task and its text")
define_task_flags()
define_text_flags()

group("The model")
define_model_flags()
define_initialization_flags()
define_head_flag()

group("What to do")
flags.DEFINE_bool("do_train", False, "Fine-tune the model on the training set of the task.")
flags.DEFINE_bool(
    "do_eval", False, "Evaluate the model on the development set; writes eval_results.txt."
)
flags.DEFINE_bool(
    "do_predict", False, "Predict the labels of the test set; writes test_results.tsv."
)
flags.DEFINE_bool(
    "make_glue_submission",
    False,
    "With --do_predict, also write the predictions in the format of the GLUE server to "
    "--submission_dir, and glue_submission.zip once the files of all tasks are there.",
)
flags.DEFINE_string(
    "submission_dir",
    None,
    "Folder that gathers the files of all GLUE tasks, with --make_glue_submission.",
)

group("Training")
define_optimization_flags()
define_epoch_flags()
flags.DEFINE_list(
    "class_weights",
    None,
    "Weights of the labels in the loss, which is then a weighted mean: balanced, so that each label "
    "weighs as much as any other; or LABEL:WEIGHT each, such as spam:5,news:2, where other labels "
    "weigh 1. A label with a comma in it is quoted as in a CSV file: '\"so, so:5\",news:2'.",
)

group("Devices")
define_device_flags()


def main(_: Sequence[str]) -> None:
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UserError("nothing to do: pass --do_train, --do_eval or --do_predict.")

    from classification import fine_tuning

    fine_tuning.run(from_flags(fine_tuning.FineTuningOptions, FLAGS))


if __name__ == "__main__":
    flags.mark_flags_as_required(["task_name", "output_dir"])
    cli.run(main)
