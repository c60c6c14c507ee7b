"""Trains a teacher and a student by every strategy of the paper, and compares them in one table.

Strategies (Turc et al. 2019, Figure 4): Basic (labels only), KD (distillation into random weights),
PF (pre-training, then labels), PD (pre-training, then distillation), PD-F (PD, then labels). Each
stage is a call of a top-level script; the results are `results.json`, `results.md`, `results.png`.

A teacher that exists already (`recipes/sst2.sh`):
  python -m experiments.compare_strategies --task_name=SST-2 --data_dir=glue/SST-2 \\
    --lm_file='wiki*.txt' --transfer_file='reviews*.txt' --vocab_file=vocab.txt --student=tiny \\
    --teacher_checkpoint=bert_base --output_dir=sst2_output
With a student that is pre-trained already, such as one of the authors' 24 (`recipes/rte.sh`):
  python -m experiments.compare_strategies --task_name=RTE --data_dir=glue/RTE --student=tiny \\
    --student_checkpoint=bert_tiny --teacher_checkpoint=bert_base --transfer_file='nli*.tsv' \\
    --vocab_file=bert_base/vocab.txt --output_dir=rte_output
Nested transfer sets of several sizes, as in Figure 8; KD and PD students see the same number of
examples whatever the size, so that only what they see differs (`recipes/book_reviews.sh`):
  python -m experiments.compare_strategies --task_name=book-reviews --data_dir=book_reviews \\
    --transfer_file=unlabelled.txt.xz --transfer_sizes=1000,4000,16000 --student=tiny \\
    --student_checkpoint=bert_tiny --teacher_checkpoint=bert_base --vocab_file=vocab.txt \\
    --output_dir=book_reviews_output
Everything from text (`quickstart.sh`):
  python -m experiments.compare_strategies --task_name=tsv --text_a=sentence --label=label \\
    --data_dir=task --lm_file=lm.txt --transfer_file=transfer.txt --vocab_file=vocab.txt \\
    --student=tiny --teacher_config=mini --output_dir=quickstart_output
Run the same command again to continue or to print the table again.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from experiments.commands import define_run_flags
from training import cli
from training.data_flags import define_task_flags
from training.help import group

FLAGS = flags.FLAGS

group("The task and its transfer set")
define_task_flags()
flags.DEFINE_string(
    "transfer_file",
    None,
    "Unlabelled text of the task, for the teacher to label: files and globs, separated by commas.",
)
flags.DEFINE_bool(
    "transfer_labelled_set",
    True,
    "Distil on the texts of the training set as well, their labels discarded.",
)
flags.DEFINE_list(
    "transfer_sizes",
    [],
    "Compare nested transfer sets of these numbers of texts, all multiples of the smallest; "
    "duplicates, and texts that hold a development or test example, are left out.",
)
flags.DEFINE_integer(
    "max_seq_length", 128, "Length of inputs of the task and the transfer set in WordPieces."
)

group("The models")
flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary of the student.")
flags.DEFINE_string(
    "teacher_vocab_file",
    None,
    "WordPiece vocabulary of --teacher_checkpoint, if it is not that of the student. Each reads the "
    "texts in its own.",
)
flags.DEFINE_string(
    "student",
    "tiny",
    "Architecture of the student: a size by name, number of layers and width (6/512), or a "
    "bert_config.json.",
)
flags.DEFINE_string(
    "student_checkpoint",
    None,
    "Pre-trained student: a model folder, or any other form that the scripts read.",
)
flags.DEFINE_string(
    "teacher_checkpoint",
    None,
    "Pre-trained teacher: a model folder, or any other form that the scripts read.",
)

group("Training on the task")
flags.DEFINE_list("seeds", ["1", "2", "3"], "Random seeds; each student is trained with all.")
flags.DEFINE_integer("batch_size", 32, "Examples per update, in fine-tuning and distillation.")
flags.DEFINE_float("teacher_learning_rate", 5e-5, "Peak learning rate of the teacher.")
flags.DEFINE_float("teacher_epochs", 3.0, "Passes of the teacher over the training set.")
flags.DEFINE_float(
    "label_learning_rate",
    3e-4,
    "Peak learning rate of students that learn from labels, Basic, PF.",
)
flags.DEFINE_float("label_epochs", 4.0, "Passes of Basic and PF students over the training set.")
flags.DEFINE_float(
    "distill_learning_rate",
    3e-4,
    "Peak learning rate of students that are distilled, KD and PD.",
)
flags.DEFINE_float("distill_epochs", 3.0, "Passes of KD and PD students over the soft labels.")
flags.DEFINE_integer(
    "distill_examples",
    32000,
    "Number of examples that each KD and PD student sees with --transfer_sizes, repeated as often "
    "as needed.",
)
flags.DEFINE_float(
    "final_learning_rate", 5e-5, "Peak learning rate of fine-tuning after distillation, PD-F."
)
flags.DEFINE_float(
    "final_epochs", 3.0, "Passes over the training set in fine-tuning after distillation, PD-F."
)

group("Pre-training in this comparison, in place of given checkpoints")
flags.DEFINE_string(
    "lm_file",
    None,
    "Text for pre-training, one sentence per line, blank lines between documents: files and globs, "
    "separated by commas. In place of --student_checkpoint.",
)
flags.DEFINE_bool(
    "lm_sentence_split", False, "Split each line of --lm_file, a paragraph, into sentences."
)
flags.DEFINE_integer("lm_dupe_factor", 1, "Number of passes over --lm_file, each with other masks.")
flags.DEFINE_string(
    "teacher_config",
    None,
    "Architecture of a teacher to pre-train on --lm_file, a size by name or a bert_config.json. In "
    "place of --teacher_checkpoint.",
)
flags.DEFINE_integer("lm_max_seq_length", 128, "Length of pre-training records in WordPieces.")
flags.DEFINE_integer("lm_batch_size", 32, "Pre-training records per update.")
flags.DEFINE_float("lm_learning_rate", 1e-3, "Peak learning rate of the student's pre-training.")
flags.DEFINE_float(
    "lm_teacher_learning_rate", 5e-4, "Peak learning rate of the teacher's pre-training."
)
flags.DEFINE_integer("lm_student_steps", 10000, "Updates of the student's pre-training.")
flags.DEFINE_integer("lm_teacher_steps", 10000, "Updates of the teacher's pre-training.")

define_run_flags()


def main(_: Sequence[str]) -> None:
    from experiments.comparison import ComparisonOptions, run
    from training.options import from_flags

    print(run(from_flags(ComparisonOptions, FLAGS)), end="")


if __name__ == "__main__":
    flags.mark_flags_as_required(
        ["task_name", "data_dir", "vocab_file", "transfer_file", "output_dir"]
    )
    cli.run(main)
