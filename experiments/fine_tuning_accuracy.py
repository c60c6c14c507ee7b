"""Accuracy of fine-tuning beside transformers, from the same weights, on the same batches.

For every seed the same model is fine-tuned four times: by run_classifier.py, without and with
--adam_bias_correction; by transformers, whose optimizer corrects, with the batches that
run_classifier.py takes; by transformers with an order of its own. Run the same command again to
continue, or with more seeds; other settings take another folder.

  python -m experiments.fine_tuning_accuracy --init_checkpoint=tiny --data_dir=glue/SST-2 \\
    --output_dir=accuracy --seeds=10 --torch_python=torch_venv/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.atomic import atomic_output, write_json, write_text
from common.errors import UserError
from common.files import exists, read_json
from common.markdown import table
from common.processes import output_of
from common.quiet import prepare_libraries
from experiments import hugging_face_accuracy
from experiments.commands import script
from experiments.paper.report import paired_difference
from experiments.scores import Score
from experiments.stage_inputs import command_inputs, difference

if TYPE_CHECKING:
    from data.record_sets import RecordSet

BATCH_SIZE = 32
# Flags that all runs have in common.
SETTINGS = (
    *("init_checkpoint", "task_name", "data_dir"),
    *("max_seq_length", "learning_rate", "epochs"),
)
RECORD = "accuracies.json"
OURS = "run_classifier.py"
CORRECTED = "run_classifier.py --adam_bias_correction"
SAME_BATCHES = "transformers, the same batches"
OWN_ORDER = "transformers, an order of its own"


def main(argv: Sequence[str] | None = None) -> None:
    args = _arguments().parse_args(argv)
    prepare_libraries()
    try:
        text = report(accuracies(args))
    except UserError as error:
        sys.exit(f"ERROR: {error}")
    write_text(os.path.join(args.output_dir, "accuracies.md"), text)
    print(text, end="")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--init_checkpoint", required=True, help="pre-trained model folder")
    parser.add_argument("--task_name", default="SST-2")
    parser.add_argument("--data_dir", required=True, help="of the task")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--torch_python", required=True, help="Python that has transformers")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--first_seed", type=int, default=1, help="each process its own --output_dir"
    )
    parser.add_argument("--max_seq_length", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--skip_own_order", action="store_true", help="leave the last one out")
    return parser


def accuracies(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Name of the contestant -> seed -> percent right; those in accuracies.json are not run again.

    Raises:
      UserError: The output folder is of other settings or of files of other content, or a run failed.
    """
    path, hugging_face = (os.path.join(args.output_dir, n) for n in (RECORD, "hugging_face"))
    record = _record(args, path, hugging_face)
    if not exists(hugging_face):
        # First, so that later commands know what it was made from.
        write_json(path, record)
        _run(*conversion(args.init_checkpoint, hugging_face))
    found: dict[str, dict[str, float]] = record["accuracies"]
    names = (OURS, CORRECTED, SAME_BATCHES) + (() if args.skip_own_order else (OWN_ORDER,))
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for name in names:
            scores = found.setdefault(name, {})
            if str(seed) not in scores:
                scores[str(seed)] = 100 * _accuracy(args, name, seed, hugging_face)
                write_json(path, record)
                print(f"seed {seed}: {name} {scores[str(seed)]:.2f}", flush=True)
    return found


def _record(args: argparse.Namespace, path: str, hugging_face: str) -> dict[str, Any]:
    """Content of accuracies.json: settings and digests of all runs, and the accuracies so far."""
    settings = {name: getattr(args, name) for name in SETTINGS}
    inputs = command_inputs(fine_tuning(args, OURS, args.first_seed, args.output_dir))
    if not exists(path) and not exists(hugging_face):
        return {"settings": settings, "inputs": inputs, "accuracies": {}}
    record = read_json(path) if exists(path) else {}
    advice = "use another --output_dir"
    if "settings" not in record:
        raise UserError(
            f"{args.output_dir} has results of an earlier version, which took no note of settings "
            f"and files; {advice}."
        )
    for name, value in settings.items():
        if (before := record["settings"].get(name)) != value:
            raise UserError(
                f"{path} is of runs with --{name}={before}, this command has --{name}={value}; "
                f"{advice}."
            )
    if change := difference(record["inputs"], inputs):
        raise UserError(f"{path} {change}; {advice}.")
    return record


def report(found: dict[str, dict[str, float]]) -> str:
    """Table of means and of differences to run_classifier.py, paired by seed."""
    by_seed = {name: {int(s): v for s, v in scores.items()} for name, scores in found.items()}
    rows = []
    for name, scores in by_seed.items():
        difference = ""
        paired = paired_difference(by_seed[OURS], scores)
        if paired and name != OURS:
            difference = f"{paired.mean:+.2f}"
            difference += f" ± {paired.high - paired.mean:.2f}" if paired.seeds > 1 else ""
        score = Score(tuple(scores.values()), digits=2)
        rows.append([name, str(score), str(len(scores)), difference])
    header = ["", "dev accuracy", "seeds", f"{OURS} minus it, 95 % interval"]
    return "\n".join(table(header, rows)) + "\n"


def _accuracy(args: argparse.Namespace, name: str, seed: int, hugging_face: str) -> float:
    """Of one run, as a share of the development rows."""
    ours = os.path.join(args.output_dir, f"ours_{seed}")
    if name in (OURS, CORRECTED):
        folder = ours if name == OURS else f"{ours}_corrected"
        _run(*fine_tuning(args, name, seed, folder))
        return read_json(os.path.join(folder, "eval_results.json"))["eval_accuracy"]
    rows, order = (os.path.join(args.output_dir, n) for n in ("rows.npz", f"order_{seed}.npy"))
    if not exists(rows):
        with atomic_output(rows) as temporary, open(temporary, "wb") as file:
            np.savez(file, **_all_rows(ours))  # type: ignore[arg-type]
    if not exists(order):
        with atomic_output(order) as temporary, open(temporary, "wb") as file:
            np.save(file, _batches(ours, rows, seed, args.epochs))
    command = [args.torch_python, hugging_face_accuracy.__file__]
    command += [f"--model={hugging_face}", f"--rows={rows}", f"--order={order}", f"--seed={seed}"]
    command += [f"--learning_rate={args.learning_rate}"]
    command += [f"--warmup_steps={int(0.1 * len(np.load(order)))}"]
    command += ["--own_order"] if name == OWN_ORDER else []
    output = output_of(command, f"{name} failed")
    return json.loads(output.splitlines()[-1])["accuracy"]


def conversion(model: str, output_dir: str) -> list[str]:
    """Script and flags that write a model for transformers."""
    return [
        "convert_checkpoint.py",
        f"--input_path={model}",
        f"--output_dir={output_dir}",
        "--output_format=hf",
    ]


def fine_tuning(args: argparse.Namespace, name: str, seed: int, output_dir: str) -> list[str]:
    """Script and flags of a run of ours."""
    return [
        *name.split(),
        f"--task_name={args.task_name}",
        f"--data_dir={args.data_dir}",
        f"--init_checkpoint={args.init_checkpoint}",
        f"--output_dir={output_dir}",
        "--do_train",
        "--do_eval",
        f"--max_seq_length={args.max_seq_length}",
        f"--train_batch_size={BATCH_SIZE}",
        f"--learning_rate={args.learning_rate}",
        f"--num_train_epochs={args.epochs}",
        f"--random_seed={seed}",
    ]


def _run(program: str, *arguments: str) -> None:
    output_of([*script(program), *arguments], f"{program} failed")


def _records(folder: str, kind: str) -> RecordSet:
    """The records of a run."""
    from data.classifier_records import feature_spec
    from data.record_sets import open_records
    from data.sidecars import read_sidecar

    path = os.path.join(folder, f"{kind}.tf_record")
    info = read_sidecar(path) or {}
    return open_records([path], "output_dir", feature_spec(info["max_seq_length"]), {})


def _all_rows(folder: str) -> dict[str, np.ndarray]:
    from data.batches import read_feature

    features = {"ids": "input_ids", "segments": "segment_ids", "labels": "label_ids"}
    found = {}
    for name, kind in (("train", "train"), ("dev", "eval")):
        records = _records(folder, kind)
        for key, feature in features.items():
            found[f"{name}_{key}"] = read_feature(records, feature)
        found[f"{name}_lengths"] = read_feature(records, "input_mask").sum(axis=1)
    return found


def _batches(folder: str, rows: str, seed: int, epochs: float) -> np.ndarray:
    """Rows of each update of a run, [steps, batch]; equal rows stand for each other."""
    from data.batches import training_batches

    arrays = np.load(rows)
    known = zip(arrays["train_ids"], arrays["train_labels"], strict=True)
    index = {(ids.tobytes(), int(label)): i for i, (ids, label) in enumerate(known)}
    records = _records(folder, "train")
    steps = int(records.num_examples / BATCH_SIZE * epochs)
    length = arrays["train_ids"].shape[1]
    order = np.empty((steps, BATCH_SIZE), np.int32)
    batches = training_batches(records, BATCH_SIZE, seed, group_by_length=True).take(steps)
    for step, batch in enumerate(batches.as_numpy_iterator()):
        ids = np.zeros((BATCH_SIZE, length), arrays["train_ids"].dtype)
        ids[:, : batch["input_ids"].shape[1]] = batch["input_ids"]
        labels = batch["label_ids"].reshape(-1)
        order[step] = [index[i.tobytes(), int(n)] for i, n in zip(ids, labels, strict=True)]
    return order


if __name__ == "__main__":
    main()
