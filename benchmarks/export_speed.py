"""Milliseconds of a row by exported programs beside Hugging Face's PyTorch, one thread each, in turn.

The folder must hold a model in all formats, with --quantization=none,dynamic_int8:
  python -m benchmarks.export_speed --folder=shipped --output_dir=speed
Beside PyTorch in an environment of its own, on the same model (convert_checkpoint.py):
  python -m benchmarks.export_speed --folder=shipped --output_dir=speed \\
    --hugging_face_dir=tiny_hf --hugging_face_python=hf/bin/python
And beside what PyTorch's exporter makes of it for ONNX Runtime (benchmarks/peers/onnx_export.py):
    --onnx_peer_dir=tiny_onnx
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence

from absl import flags

from benchmarks.contestants import Result, Server, run_rounds
from common.atomic import write_json, write_text
from common.errors import UserError
from common.files import make_folder, read_json
from common.machine import describe_machine
from common.markdown import table
from training import cli
from training.help import group
from training.options import Options, from_flags

FLAGS = flags.FLAGS

group("What to measure")
flags.DEFINE_string("folder", None, "Folder that export_model.py has written.")
flags.DEFINE_list("lengths", ["32", "128"], "WordPieces per row.")
flags.DEFINE_string("hugging_face_dir", "", "The same model as a folder of Hugging Face.")
flags.DEFINE_string(
    "onnx_peer_dir",
    "",
    "The same model as model.onnx and model_quantized.onnx of another exporter.",
)
flags.DEFINE_string("hugging_face_python", "", "Interpreter with transformers and torch.")

group("Measuring")
flags.DEFINE_string(
    "output_dir", None, "Folder for the table, export_speed.md and .json, and logs."
)
flags.DEFINE_integer("rounds", 15, "Number of measurements of each program.", lower_bound=1)
flags.DEFINE_integer("calls", 30, "Rows per measurement.", lower_bound=1)

# Name in the table -> what `benchmarks.peers.exported` runs: --loop, and the path in the folder.
PROGRAMS = {
    "LiteRT int8": ("ids", "model_dynamic_int8.tflite"),
    "LiteRT int8, from text": ("text", ""),
    "LiteRT float32": ("ids", "model_float32.tflite"),
    "ONNX Runtime int8": ("ids", "onnx/model_quantized.onnx"),
    "ONNX Runtime float32": ("ids", "onnx/model.onnx"),
    "SavedModel": ("ids", "saved_model/1"),
    "SavedModel, from text": ("text", "saved_model/1"),
}
ONNX_PEERS = {
    "ONNX Runtime int8, PyTorch's file": "model_quantized.onnx",
    "ONNX Runtime float32, PyTorch's file": "model.onnx",
}
REFERENCE = "Hugging Face, PyTorch eager"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclasses.dataclass(frozen=True)
class SpeedOptions(Options):
    """The flags of this script."""

    folder: str
    lengths: Sequence[str]
    output_dir: str
    hugging_face_dir: str
    hugging_face_python: str
    onnx_peer_dir: str
    rounds: int
    calls: int


def main(_: Sequence[str]) -> None:
    options = from_flags(SpeedOptions, FLAGS)
    check_lengths(options)
    make_folder(options.output_dir)
    results = {length: measured(length, options) for length in options.lengths}
    text = report(results, options)
    rates = {length: {r.name: r.rates for r in of_length} for length, of_length in results.items()}
    write_json(os.path.join(options.output_dir, "export_speed.json"), {"rows_per_second": rates})
    write_text(os.path.join(options.output_dir, "export_speed.md"), text)
    print(text)


def check_lengths(options: SpeedOptions) -> None:
    """Raises a UserError where the folder's programs would cut the texts."""
    longest = read_json(os.path.join(options.folder, "model.json"))["max_seq_length"]
    too_long = [length for length in options.lengths if int(length) > longest]
    if too_long:
        raise UserError(
            f"--lengths={','.join(options.lengths)}: the programs in {options.folder} cut texts at "
            f"{longest} tokens, so {', '.join(too_long)} cannot be measured; export with "
            f"--max_seq_length={too_long[-1]}."
        )


def measured(length: str, options: SpeedOptions) -> list[Result]:
    """The results of all contestants at a length, the programs of the folder first."""
    folder, peer = os.path.abspath(options.folder), os.path.abspath(options.onnx_peer_dir)
    programs = []  # Name, interpreter, --loop, path.
    for name, (loop, path) in PROGRAMS.items():
        program = os.path.join(folder, path).rstrip(os.sep)
        if not os.path.exists(program):
            raise UserError(
                f"--folder={folder} has no {path}; export the model in all formats, with "
                "--quantization=none,dynamic_int8."
            )
        programs.append((name, sys.executable, loop, program))
    if options.onnx_peer_dir:
        for name, file in ONNX_PEERS.items():
            programs.append((name, sys.executable, "ids", os.path.join(peer, file)))
    python = options.hugging_face_python and os.path.abspath(options.hugging_face_python)
    theirs = os.path.abspath(options.hugging_face_dir)
    programs.append((REFERENCE, python, "hugging_face", theirs))
    contestants = []
    for name, python, loop, path in programs:
        command = [python, "-m", "benchmarks.peers.exported", f"--loop={loop}", f"--model={path}"]
        command += [f"--max_seq_length={length}", f"--batches={options.calls}"]
        log = os.path.join(os.path.abspath(options.output_dir), f"{name} {length}.log")
        contestants.append(Server(name, command, log, cwd=ROOT))
    return run_rounds(contestants, options.rounds, timeout=120, seconds=150)


def report(results: Mapping[str, Sequence[Result]], options: SpeedOptions) -> str:
    """Milliseconds in the fastest round, and how many times faster than each the first program is.

    The fastest, since what others do on the machine only adds to it.
    """
    header: list[str] = ["Program"]
    rows: dict[str, list[str]] = {}
    for length, of_length in results.items():
        header += [f"ms, {length} tokens", "LiteRT int8 is faster by"]
        first = max(of_length[0].rates, default=0)
        for result in of_length:
            cells = [result.problem or "not measured", ""]
            if result.rates:
                rate = max(result.rates)
                cells = [f"{1000 / rate:.3f}", f"{first / rate:.1f}" if first else ""]
            rows.setdefault(result.name, [result.name]).extend(cells)
    rounds = {len(r.rates) for of_length in results.values() for r in of_length if r.rates} or {0}
    number = f"{min(rounds)}" if len(rounds) == 1 else f"{min(rounds)} to {max(rounds)}"
    note = (
        f"One row, one thread; the fastest of {number} rounds of {options.calls} rows, in turn. "
        f"Machine: {describe_machine()}."
    )
    return "\n".join([*table(header, rows.values()), "", note]) + "\n"


if __name__ == "__main__":
    flags.mark_flags_as_required(["folder", "output_dir"])
    cli.run(main)
