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
Everything from text (`quickstart.sh`):
  python -m experiments.compare_strategies --task_name=tsv --text_a=sentence --label=label \\
    --data_dir=task --lm_file=lm.txt --transfer_file=transfer.txt --vocab_file=vocab.txt \\
    --student=tiny --teacher_config=mini --output_dir=quickstart_output
Run the same command again to continue or to print the table again.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Iterator, Sequence

from absl import flags

from common.errors import UserError
from experiments.commands import (
    SOFT_LABELS,
    TaskCommands,
    define_run_flags,
    define_task_training_flags,
    script,
)
from experiments.stages import Stage, run_stages
from training import cli
from training.help import group

FLAGS = flags.FLAGS

define_task_training_flags()
flags.DEFINE_bool(
    "transfer_labelled_set",
    True,
    "Distil on the texts of the training set as well, their labels discarded.",
)
flags.DEFINE_float("distill_epochs", 3.0, "Passes of KD and PD students over the soft labels.")
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

STRATEGIES = ("Basic", "KD", "PF", "PD", "PD-F")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The stages of a comparison.

    Attributes:
      stages: All of them, each after those it needs.
      model_stages: Row of the table -> the stages whose models it averages.
    """

    stages: list[Stage]
    model_stages: dict[str, list[str]]


def make_plan(values: flags.FlagValues) -> Plan:
    """The commands that the flag values ask for."""
    commands = TaskCommands(values, predict=True)
    folder = commands.folder
    stages: list[Stage] = []

    # As many predictions as 15 % of a full record, rounded up: 20 of 128 as in the original.
    lm_shape = (
        f"--max_seq_length={values.lm_max_seq_length}",
        f"--max_predictions_per_seq={math.ceil(0.15 * values.lm_max_seq_length)}",
    )

    def pretraining(name: str, size: str, steps: int, rate: float) -> Stage:
        command = script(
            "run_pretraining.py",
            f"--bert_config_file={size}",
            commands.vocab,
            f"--input_file={folder('lm.tfrecord')}",
            f"--output_dir={folder(name)}",
            "--do_train",
            "--do_eval",
            *lm_shape,
            f"--train_batch_size={values.lm_batch_size}",
            f"--learning_rate={rate}",
            f"--num_train_steps={steps}",
            f"--num_warmup_steps={steps // 10}",
            f"--save_checkpoints_steps={max(100, steps // 5)}",
            commands.precision,
        )
        return Stage(name, command, needs=("lm_data",))

    if values.lm_file:
        lm_data = script(
            "create_pretraining_data.py",
            f"--input_file={values.lm_file}",
            f"--output_file={folder('lm.tfrecord')}",
            commands.vocab,
            *lm_shape,
            f"--do_sentence_split={values.lm_sentence_split}",
            f"--dupe_factor={values.lm_dupe_factor}",
        )
        stages.append(Stage("lm_data", lm_data))
    teacher_needs: tuple[str, ...] = ()
    teacher_start = values.teacher_checkpoint
    if values.teacher_config:
        steps, rate = values.lm_teacher_steps, values.lm_teacher_learning_rate
        stages.append(pretraining("teacher_lm", values.teacher_config, steps, rate))
        teacher_start, teacher_needs = folder("teacher_lm"), ("teacher_lm",)
    student_needs: tuple[str, ...] = ()
    pretrained = values.student_checkpoint
    if not pretrained:
        steps, rate = values.lm_student_steps, values.lm_learning_rate
        stages.append(pretraining("student_lm", values.student, steps, rate))
        pretrained, student_needs = folder("student_lm"), ("student_lm",)
    stages.append(commands.teacher(teacher_start, teacher_needs))
    stages.append(commands.soft_labels(values.transfer_file, values.transfer_labelled_set))

    rows = {row: [f"{row.lower()}_seed{seed}" for seed in values.seeds] for row in STRATEGIES}

    def students(row: str) -> Iterator[tuple[str, str]]:
        return zip(rows[row], values.seeds, strict=True)

    def distillation(name: str, start: str | None, seed: str, needs: Sequence[str] = ()) -> Stage:
        files = f"{folder(SOFT_LABELS)}/*.tfrecord"
        return commands.distillation(name, start, seed, files, values.distill_epochs, needs)

    stages += [commands.label_training(name, None, seed) for name, seed in students("Basic")]
    stages += [
        commands.label_training(name, pretrained, seed, student_needs)
        for name, seed in students("PF")
    ]
    stages += [distillation(name, pretrained, seed, student_needs) for name, seed in students("PD")]
    final = (values.final_learning_rate, values.final_epochs)
    stages += [
        commands.fine_tuning(name, folder(start), *final, seed, (start,))
        for (name, seed), start in zip(students("PD-F"), rows["PD"], strict=True)
    ]
    # Last, because nothing waits for them: so no job runs alone at the end.
    stages += [distillation(name, None, seed) for name, seed in students("KD")]
    return Plan(stages, {"Teacher": ["teacher"], **rows})


def main(_: Sequence[str]) -> None:
    if bool(FLAGS.teacher_config) == bool(FLAGS.teacher_checkpoint):
        raise UserError("pass --teacher_config or --teacher_checkpoint, one of the two.")
    if not FLAGS.lm_file and (FLAGS.teacher_config or not FLAGS.student_checkpoint):
        raise UserError(
            "pass --lm_file, the text to pre-train on; or a pre-trained --student_checkpoint and "
            "--teacher_checkpoint."
        )

    from classification.tasks import get_task
    from common.files import read_lines
    from experiments.results import collect_results, read_test_labels, write_report
    from training.flags import flag_values
    from training.options import TASK_FLAGS, TaskOptions, from_flags

    task = get_task(**from_flags(TaskOptions, FLAGS).values(TASK_FLAGS))
    test_labels = read_test_labels(task, FLAGS.data_dir, FLAGS.label)
    plan = make_plan(FLAGS)
    seconds = run_stages(
        plan.stages, os.path.join(FLAGS.output_dir, "stages"), FLAGS.jobs, FLAGS.start_over
    )
    results = collect_results(plan.model_stages, FLAGS.output_dir, task, test_labels)
    own_flags = [flag.name for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])]
    settings = flag_values(FLAGS, own_flags)
    metric = " and ".join(task.metrics)
    write_report(FLAGS.output_dir, results, plan.model_stages, seconds, settings, metric)
    for _number, line in read_lines(os.path.join(FLAGS.output_dir, "results.md")):
        print(line)


if __name__ == "__main__":
    flags.mark_flags_as_required(
        ["task_name", "data_dir", "vocab_file", "transfer_file", "output_dir"]
    )
    cli.run(main)
