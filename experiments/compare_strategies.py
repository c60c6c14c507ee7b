"""Trains a teacher and a student by every strategy of the paper, and compares them in one table.

Strategies (Turc et al. 2019, Figure 4): Basic (labels only), KD (distillation into random weights),
PF (pre-training, then labels), PD (pre-training, then distillation), PD-F (PD, then labels). Each
stage is a call of a top-level script; the results are `results.json`, `results.md`, `results.png`.

A teacher that exists already (`recipes/sst2.sh`):
  python -m experiments.compare_strategies --task_name=SST-2 --data_dir=glue/SST-2 \
    --lm_file='wiki*.txt' --transfer_file='reviews*.txt' --vocab_file=vocab.txt --student=tiny \
    --teacher_checkpoint=bert_base --output_dir=sst2_output
Everything from text (`quickstart.sh`):
  python -m experiments.compare_strategies --task_name=tsv --text_a=sentence --label=label \
    --data_dir=task --lm_file=lm.txt --transfer_file=transfer.txt --vocab_file=vocab.txt \
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
from experiments.stages import Stage, run_stages
from training import cli
from training.flags import define_task_flags

FLAGS = flags.FLAGS

## Data
define_task_flags()
flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary.")
flags.DEFINE_string("lm_file", None, "Text for pre-training (comma-separated globs).")
flags.DEFINE_bool("lm_sentence_split", False, "Split the lines of --lm_file into sentences.")
flags.DEFINE_integer("lm_dupe_factor", 1, "Passes over --lm_file with other masks.")
flags.DEFINE_string("transfer_file", None, "Unlabelled task text (comma-separated globs).")
flags.DEFINE_bool(
    "transfer_labelled_set", True, "Also distil on the labelled training set, labels discarded."
)

## Models
flags.DEFINE_string("student", "tiny", "Size of the student: a name or a bert_config.json.")
flags.DEFINE_string("teacher_config", None, "Size of a teacher to pre-train here.")
flags.DEFINE_string(
    "teacher_checkpoint", None, "Pre-trained teacher, in place of --teacher_config."
)

## Pre-training
flags.DEFINE_integer("lm_max_seq_length", 128, "Length of pre-training records.")
flags.DEFINE_integer("lm_batch_size", 32, "Records per update.")
flags.DEFINE_float("lm_learning_rate", 1e-3, "Peak learning rate of the student's pre-training.")
flags.DEFINE_float("lm_teacher_learning_rate", 5e-4, "Peak learning rate of the teacher's.")
flags.DEFINE_integer("lm_student_steps", 10000, "Updates of the student's pre-training.")
flags.DEFINE_integer("lm_teacher_steps", 10000, "Updates of the teacher's pre-training.")

## Task training
flags.DEFINE_integer("max_seq_length", 128, "Length of task and transfer inputs.")
flags.DEFINE_integer("batch_size", 32, "Examples per update, in fine-tuning and distillation.")
flags.DEFINE_float("teacher_learning_rate", 5e-5, "Fine-tuning of the teacher.")
flags.DEFINE_float("teacher_epochs", 3.0, "Fine-tuning of the teacher.")
flags.DEFINE_float("label_learning_rate", 3e-4, "Basic and PF.")
flags.DEFINE_float("label_epochs", 4.0, "Basic and PF.")
flags.DEFINE_float("distill_learning_rate", 3e-4, "KD and PD.")
flags.DEFINE_float("distill_epochs", 3.0, "KD and PD.")
flags.DEFINE_float("final_learning_rate", 5e-5, "Fine-tuning after distillation (PD-F).")
flags.DEFINE_float("final_epochs", 3.0, "Fine-tuning after distillation (PD-F).")

## Runs
flags.DEFINE_string("output_dir", None, "Folder for all models, logs and results.")
flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds of the student runs on the task.")
flags.DEFINE_integer("jobs", 2, "Commands to run at a time.", lower_bound=1)
flags.DEFINE_string("precision", "bfloat16", "Precision of all runs (training.flags).")

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
    output, common = values.output_dir, f"--precision={values.precision}"
    vocab = f"--vocab_file={values.vocab_file}"

    def folder(name: str) -> str:
        return os.path.join(output, name)

    def script(name: str, *arguments: str) -> tuple[str, ...]:
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return (sys.executable, os.path.join(root, name), *arguments)

    task = [
        f"--{name}={values[name].value}"
        for name in ("task_name", "data_dir", "text_a", "text_b", "label")
        if values[name].value
    ]
    # As many predictions as 15 % of a full record, rounded up: 20 of 128 as in the original.
    lm_shape = (
        f"--max_seq_length={values.lm_max_seq_length}",
        f"--max_predictions_per_seq={math.ceil(0.15 * values.lm_max_seq_length)}",
    )
    length = f"--max_seq_length={values.max_seq_length}"

    def pretraining(name: str, size: str, steps: int, rate: float) -> Stage:
        command = script(
            "run_pretraining.py",
            f"--bert_config_file={size}",
            vocab,
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
            common,
        )
        return Stage(name, command, needs=("lm_data",))

    def training(name: str, start: str | None, rate: float, epochs: float, seed: str) -> list[str]:
        return [
            f"--init_checkpoint={start}" if start else f"--bert_config_file={values.student}",
            vocab,
            *task,
            length,
            f"--output_dir={folder(name)}",
            "--do_train",
            "--do_eval",
            "--do_predict",
            f"--train_batch_size={values.batch_size}",
            "--eval_batch_size=64",
            "--predict_batch_size=64",
            f"--learning_rate={rate}",
            f"--num_train_epochs={epochs}",
            f"--random_seed={seed}",
            common,
        ]

    def fine_tuning(
        name: str, start: str | None, rate: float, epochs: float, seed: str, *needs: str
    ) -> Stage:
        arguments = training(name, start, rate, epochs, seed)
        return Stage(name, script("run_classifier.py", *arguments), needs)

    def distillation(name: str, start: str | None, seed: str, *needs: str) -> Stage:
        arguments = training(name, start, values.distill_learning_rate, values.distill_epochs, seed)
        soft_labels = os.path.join(folder("soft_labels"), "*.tfrecord")
        command = script("run_distill.py", f"--input_file={soft_labels}", *arguments)
        return Stage(name, command, ("soft_labels", *needs))

    lm_data = script(
        "create_pretraining_data.py",
        f"--input_file={values.lm_file}",
        f"--output_file={folder('lm.tfrecord')}",
        vocab,
        *lm_shape,
        f"--do_sentence_split={values.lm_sentence_split}",
        f"--dupe_factor={values.lm_dupe_factor}",
    )
    stages = [Stage("lm_data", lm_data)]
    teacher_start = values.teacher_checkpoint
    teacher_needs: tuple[str, ...] = ()
    if values.teacher_config:
        stages.append(
            pretraining(
                "teacher_lm",
                values.teacher_config,
                values.lm_teacher_steps,
                values.lm_teacher_learning_rate,
            )
        )
        teacher_start, teacher_needs = folder("teacher_lm"), ("teacher_lm",)
    stages.append(
        pretraining("student_lm", values.student, values.lm_student_steps, values.lm_learning_rate)
    )
    stages.append(
        fine_tuning(
            "teacher",
            teacher_start,
            values.teacher_learning_rate,
            values.teacher_epochs,
            values.seeds[0],
            *teacher_needs,
        )
    )
    soft_labels = script(
        "create_soft_labels.py",
        f"--init_checkpoint={folder('teacher')}",
        f"--input_file={values.transfer_file}",
        *(task if values.transfer_labelled_set else ()),
        f"--output_dir={folder('soft_labels')}",
        length,
        common,
    )
    stages.append(Stage("soft_labels", soft_labels, ("teacher",)))

    label = (values.label_learning_rate, values.label_epochs)
    final = (values.final_learning_rate, values.final_epochs)
    pretrained = folder("student_lm")
    rows = {row: [f"{row.lower()}_seed{seed}" for seed in values.seeds] for row in STRATEGIES}

    def students(row: str) -> Iterator[tuple[str, str]]:
        return zip(rows[row], values.seeds, strict=True)

    stages += [fine_tuning(name, None, *label, seed) for name, seed in students("Basic")]
    stages += [
        fine_tuning(name, pretrained, *label, seed, "student_lm") for name, seed in students("PF")
    ]
    stages += [distillation(name, pretrained, seed, "student_lm") for name, seed in students("PD")]
    stages += [
        fine_tuning(name, folder(start), *final, seed, start)
        for (name, seed), start in zip(students("PD-F"), rows["PD"], strict=True)
    ]
    # Last, because nothing waits for them: so no job runs alone at the end.
    stages += [distillation(name, None, seed) for name, seed in students("KD")]
    rows = {"Teacher": ["teacher"], **rows}
    return Plan(stages, rows)


def main(_: Sequence[str]) -> None:
    if bool(FLAGS.teacher_config) == bool(FLAGS.teacher_checkpoint):
        raise UserError("pass --teacher_config or --teacher_checkpoint, one of the two.")

    from classification.tasks import get_task
    from common.files import read_lines
    from experiments.results import collect_results, read_test_labels, write_report
    from training.flags import flag_values

    task = get_task(
        FLAGS.task_name, FLAGS.data_dir, FLAGS.text_a, FLAGS.text_b, FLAGS.label, FLAGS.labels
    )
    test_labels = read_test_labels(task, FLAGS.data_dir, FLAGS.label)
    plan = make_plan(FLAGS)
    seconds = run_stages(plan.stages, os.path.join(FLAGS.output_dir, "stages"), FLAGS.jobs)
    results = collect_results(plan.model_stages, FLAGS.output_dir, task, test_labels)
    own_flags = [flag.name for flag in FLAGS.get_key_flags_for_module(sys.argv[0])]
    settings = flag_values(FLAGS, own_flags)
    metric = " and ".join(task.metrics)
    write_report(FLAGS.output_dir, results, plan.model_stages, seconds, settings, metric)
    for _number, line in read_lines(os.path.join(FLAGS.output_dir, "results.md")):
        print(line)


if __name__ == "__main__":
    flags.mark_flags_as_required(
        ["task_name", "data_dir", "vocab_file", "lm_file", "transfer_file", "output_dir"]
    )
    cli.run(main)
