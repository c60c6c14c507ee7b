"""Pre-trains students on one GPU without TensorFlow: our update as an XLA program, run by JAX.

  python -m benchmarks.accelerator.pretrain --programs=programs \\
    --input_file=wiki.txt.xz,books.txt.xz --line_documents=reviews.txt.xz --vocab_file=vocab.txt \\
    --max_seconds=550 --output_dir=trained

All models get the same number of updates on the same batches, as many as fit into the time; it is
fixed before the first one, so that every schedule ends at a rate of 0. Written are the weights
(float16) of each model as soon as it is trained, `2-128.safetensors`; `curves.jsonl`, its losses on
the way; and the held-out rows that they are measured on. `benchmarks.accelerator.model_folders` makes
model folders of them.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from safetensors.numpy import save_file

from benchmarks.accelerator.imported import Arrays, Imported, read_description
from benchmarks.accelerator.packed_records import (
    CURVES,
    HELD_OUT_ROWS,
    Rows,
    batches,
    read_rows,
    row_type,
    unpack,
)
from common.atomic import write_text
from common.errors import UserError
from training import cli
from training.options import Options, from_flags

FLAGS = flags.FLAGS

# Share of the time that is left for slower updates than the timed ones.
_RESERVE = 0.08


@dataclasses.dataclass(frozen=True)
class PretrainOptions(Options):
    """The flags of this script (`_define_flags`)."""

    programs: str
    models: Sequence[str] | None
    input_file: Sequence[str]
    line_documents: Sequence[str]
    vocab_file: str
    dupe_factor: int
    learning_rate: float
    learning_rates: Sequence[str]
    max_seconds: float
    max_updates: int | None
    updates_per_call: int
    num_evaluations: int
    eval_batches: int
    give_up_loss: float
    random_seed: int
    output_dir: str


@dataclasses.dataclass
class Student:
    """A model to be trained, compiled.

    Attributes:
      name: Layers and width, `2-128`.
      programs: Its update and evaluation.
      train: (state, rows [updates, batch size, row bytes]) -> state and losses [updates].
      evaluate: (state, rows [batches, batch size, row bytes]) -> [sum, count] of each metric.
    """

    name: str
    programs: Imported
    train: Callable[[Arrays, np.ndarray], tuple[Arrays, Arrays]]
    evaluate: Callable[[Arrays, np.ndarray], Arrays]

    def started(self, seed: int, learning_rate: float, num_updates: int) -> Arrays:
        """The state before the first update; a tenth of the updates are warm-up."""
        state = self.programs.start(seed)
        schedule = {
            "learning_rate": learning_rate,
            "num_train_steps": num_updates,
            "num_warmup_steps": num_updates // 10,
        }
        for name, value in schedule.items():
            state[name] = jnp.asarray(value, state[name].dtype)
        return state


def compiled(folder: str, num_updates: int, num_batches: int) -> Student:
    """Compiles a model for calls of so many updates, and evaluations of so many batches."""
    start = time.monotonic()
    programs = Imported(folder)
    setting = programs.description
    shape = setting["max_seq_length"], setting["max_predictions_per_seq"]
    kind = row_type(*shape)

    def train(state: Arrays, rows: jax.Array) -> tuple[Arrays, Arrays]:
        def update(state: Arrays, rows: jax.Array) -> tuple[Arrays, Arrays]:
            losses, state = programs.update(unpack(rows, *shape, jnp), state)
            return state, losses

        return jax.lax.scan(update, state, rows)

    def evaluate(state: Arrays, rows: jax.Array) -> Arrays:
        sums = jax.lax.map(lambda rows: programs.metrics(unpack(rows, *shape, jnp), state), rows)
        return {name: values.sum(axis=0) for name, values in sums.items()}

    state = {
        name: jax.ShapeDtypeStruct(variable["shape"], variable["dtype"])
        for name, variable in setting["variables"].items()
    }

    def rows(count: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((count, setting["batch_size"], kind.itemsize), np.uint8)

    name = os.path.basename(folder)
    student = Student(
        name,
        programs,
        jax.jit(train, donate_argnums=0).lower(state, rows(num_updates)).compile(),
        jax.jit(evaluate).lower(state, rows(num_batches)).compile(),
    )
    logging.info("%s: compiled in %.1f s.", name, time.monotonic() - start)
    return student


def check(student: Student, num_updates: int) -> float:
    """Trains on random words; returns the seconds of an update.

    Raises:
      UserError: The loss does not fall.
    """
    setting = student.programs.description
    kind = row_type(setting["max_seq_length"], setting["max_predictions_per_seq"])
    rng = np.random.default_rng(0)
    rows = np.zeros((num_updates, setting["batch_size"]), kind)
    # Few words, which are soon learned.
    for name in ("input_ids", "masked_lm_ids"):
        rows[name] = rng.integers(1000, 1100, rows[name].shape)
    for name, value in (
        ("num_tokens", "max_seq_length"),
        ("num_predictions", "max_predictions_per_seq"),
    ):
        rows[name] = setting[value]
    rows["num_first_segment"] = 20
    rows["masked_lm_positions"] = rng.integers(1, 50, rows["masked_lm_positions"].shape)
    packed = rows.view(np.uint8).reshape(num_updates, setting["batch_size"], kind.itemsize)
    state, losses = student.train(student.started(0, 1e-3, 10 * num_updates), packed)
    found = np.asarray(losses["masked_lm_loss"])
    logging.info(
        "%s: on a few random words the masked-LM loss goes from %.3f to %.3f.",
        student.name,
        found[0],
        found[-1],
    )
    if not found[-1] < found[0]:
        raise UserError(f"{student.name}: the loss does not fall: {found}.")
    start = time.monotonic()
    _, losses = student.train(state, packed)
    jax.block_until_ready(losses)
    return (time.monotonic() - start) / num_updates


def train_student(
    student: Student,
    rows: Rows,
    learning_rate: float,
    num_updates: int,
    deadline: float,
    may_give_up: bool,
    options: PretrainOptions,
) -> bool:
    """Trains one model and writes its weights.

    Args:
      student: The model.
      rows: The records.
      learning_rate: Peak of the schedule.
      num_updates: Length of the schedule.
      deadline: The end, in `time.monotonic`; the weights are written then, too.
      may_give_up: Whether to end when the model is stuck.
      options: Of the script.

    Returns:
      Whether that was done; not where the loss is no number, or the model is stuck: above
      --give_up_loss after a third of the updates.
    """
    setting = student.programs.description
    per_call, batch_size = options.updates_per_call, setting["batch_size"]
    num_calls = num_updates // per_call
    calls_between = max(1, num_calls // options.num_evaluations)
    source = batches(rows.training, rows.pass_ends, per_call, batch_size, options.random_seed)
    state = student.started(options.random_seed, learning_rate, num_updates)
    start = time.monotonic()
    before: jax.Array | None = None
    recent: list[Arrays] = []
    point: dict[str, Any] = {}
    for call in range(1, num_calls + 1):
        state, losses = student.train(state, jax.device_put(next(source)))
        recent.append(losses)
        # One call ahead of the device, not more.
        jax.block_until_ready(before)
        before = losses["loss"]
        ended = call == num_calls
        if not ended and call % calls_between:
            continue
        sums = {k: np.asarray(v) for k, v in student.evaluate(state, rows.held_out).items()}
        update = call * per_call
        point = {
            "model": student.name,
            "update": update,
            "num_updates": num_updates,
            **{k: setting[k] for k in ("batch_size", "max_seq_length", "max_predictions_per_seq")},
            "learning_rate": learning_rate,
            "rate": float(state["current_learning_rate"]),
            "positions": update * batch_size * setting["max_seq_length"],
            "seconds": round(time.monotonic() - start, 2),
            "training_loss": float(np.mean([np.mean(found["loss"]) for found in recent])),
            **{name: float(total / count) for name, (total, count) in sums.items()},
        }
        recent = []
        _log_point(point, options.output_dir)
        is_stuck = point["masked_lm_loss"] > options.give_up_loss and call * 3 > num_calls
        if not math.isfinite(point["training_loss"]) or (may_give_up and is_stuck and not ended):
            logging.error("%s does not learn at a rate of %g.", student.name, learning_rate)
            return False
        if time.monotonic() > deadline:
            logging.warning("%s: the time is over after %d updates.", student.name, update)
            break
    weights = {
        name: np.asarray(state[name]).astype(np.float16) for name in setting["model_variables"]
    }
    path = os.path.join(options.output_dir, f"{student.name}.safetensors")
    save_file(weights, path, {"config": json.dumps(setting["config"]), "point": json.dumps(point)})
    return True


def forget_curves(folder: str, models: Sequence[str]) -> None:
    """Removes what an earlier run has written of these models from the file of curves."""
    path = os.path.join(folder, CURVES)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            kept = [line for line in file if json.loads(line)["model"] not in models]
        write_text(path, "".join(kept))


def _log_point(point: dict[str, Any], folder: str) -> None:
    with open(os.path.join(folder, CURVES), "a", encoding="utf-8") as file:
        file.write(json.dumps(point) + "\n")
    logging.info(
        "%(model)s %(update)d/%(num_updates)d %(seconds).0f s: training %(training_loss).3f, "
        "held out masked-LM %(masked_lm_loss).4f (%(masked_lm_accuracy).4f), "
        "next sentence %(next_sentence_loss).4f (%(next_sentence_accuracy).4f)",
        point,
    )


def start_rows(
    options: PretrainOptions, setting: Mapping[str, Any], folder: str
) -> subprocess.Popen:
    """Starts a process that makes the rows, leaving two cores to the compiler."""
    command = [sys.executable, "-m", "benchmarks.accelerator.packed_records"]
    command += [f"--input_file={','.join(options.input_file)}"]
    command += [f"--line_documents={','.join(options.line_documents)}"]
    command += [f"--vocab_file={options.vocab_file}", f"--dupe_factor={options.dupe_factor}"]
    command += [f"--{n}={setting[n]}" for n in ("max_seq_length", "max_predictions_per_seq")]
    processes = max(1, (os.cpu_count() or 1) - 2)
    return subprocess.Popen([*command, f"--num_processes={processes}", f"--output_dir={folder}"])


def _define_flags() -> None:
    flags.DEFINE_string("programs", None, "Folder of benchmarks.accelerator.export.", required=True)
    flags.DEFINE_list("models", None, "Models, such as 2-128, in the order of training.")
    flags.DEFINE_list("input_file", [], "Text with blank lines between documents.")
    flags.DEFINE_list("line_documents", [], "Text with a document on each line.")
    flags.DEFINE_string("vocab_file", None, "WordPiece vocabulary.", required=True)
    flags.DEFINE_integer("dupe_factor", 8, "Passes over the text, each with other pairs and masks.")
    flags.DEFINE_float("learning_rate", 1e-3, "Peak rate.")
    flags.DEFINE_list("learning_rates", [], "Other peak rates of some models: 2-128=2e-3,...")
    flags.DEFINE_float("max_seconds", 550, "Time for everything, from the start of this process.")
    flags.DEFINE_integer(
        "max_updates", None, "Updates of each model. Default: what the time allows."
    )
    flags.DEFINE_integer("updates_per_call", 100, "Updates of one call of the program.")
    flags.DEFINE_integer("num_evaluations", 40, "Evaluations on the way.")
    flags.DEFINE_integer("eval_batches", 32, "Held-out batches of an evaluation.")
    flags.DEFINE_float(
        "give_up_loss",
        6.2,
        "A model with this masked-LM loss after a third of the updates is stuck.",
    )
    flags.DEFINE_integer("random_seed", 1, "Seed of initial weights and order.")
    flags.DEFINE_string("output_dir", None, "Folder for weights and curves.", required=True)


def main(_: Sequence[str]) -> None:
    options = from_flags(PretrainOptions, FLAGS)
    deadline = time.monotonic() + options.max_seconds
    os.makedirs(options.output_dir, exist_ok=True)
    names = options.models or sorted(os.listdir(options.programs))
    setting = read_description(os.path.join(options.programs, names[0]))
    making = start_rows(options, setting, os.path.join(options.output_dir, "rows"))
    try:
        logging.info("JAX %s, NumPy %s, %s.", jax.__version__, np.__version__, jax.devices())
        students = compile_all(names, options)
        check(students[0], options.updates_per_call)
        if making.wait(max(1.0, deadline - time.monotonic())):
            raise UserError("the rows could not be made.")
    finally:
        making.kill()
    rows = read_rows(
        os.path.join(options.output_dir, "rows"), options.eval_batches, setting["batch_size"]
    )
    np.save(os.path.join(options.output_dir, HELD_OUT_ROWS), rows.held_out)
    forget_curves(options.output_dir, [student.name for student in students])
    train_all(students, rows, deadline, options)


def compile_all(names: Sequence[str], options: PretrainOptions) -> list[Student]:
    """Compiles all models side by side and checks each."""

    def compile_one(name: str) -> Student:
        folder = os.path.join(options.programs, name)
        return compiled(folder, options.updates_per_call, options.eval_batches)

    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(compile_one, names))


def train_all(
    students: Sequence[Student], rows: Rows, deadline: float, options: PretrainOptions
) -> None:
    """Trains one model after the other, all of them equally long.

    Those that were given up are trained anew in what is left of the time, at half the rate.
    """
    seconds = {student.name: check(student, options.updates_per_call) for student in students}
    rates = dict(item.split("=") for item in options.learning_rates)
    length = students[0].programs.description["max_seq_length"]
    waiting = list(students)
    for factor in (1.0, 0.5):
        if not waiting:
            break
        num_updates = affordable_updates([seconds[s.name] for s in waiting], deadline, options)
        logging.info(
            "%.0f s are left for %s: %d updates of %d rows, %.0f M positions, %.1f passes.",
            deadline - time.monotonic(),
            ", ".join(f"{s.name} ({1e3 * seconds[s.name]:.2f} ms an update)" for s in waiting),
            num_updates,
            rows.held_out.shape[1],
            num_updates * rows.held_out.shape[1] * length / 1e6,
            num_updates * rows.held_out.shape[1] / rows.pass_ends[0],
        )
        if not num_updates:
            break
        given_up = []
        for student in waiting:
            rate = factor * float(rates.get(student.name, options.learning_rate))
            may_give_up = factor == 1.0
            if not train_student(student, rows, rate, num_updates, deadline, may_give_up, options):
                given_up.append(student)
        waiting = given_up


def affordable_updates(seconds: Sequence[float], deadline: float, options: PretrainOptions) -> int:
    """Updates for which there is time in models that take so long for one; whole calls."""
    left = deadline - time.monotonic()
    count = int(left * (1 - _RESERVE) / sum(seconds))
    if options.max_updates:
        count = min(count, options.max_updates)
    return max(0, count - count % options.updates_per_call)


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
