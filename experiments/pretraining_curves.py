"""Masked-LM loss and accuracy by tokens read, of several models, as a figure and a table.

  python -m experiments.pretraining_curves --curves=trained/curves.jsonl --output_dir=docs/results

The input is the `curves.jsonl` of `benchmarks.accelerator.pretrain`: an object a line with "model",
"positions" (tokens, padding included), "masked_lm_loss", "masked_lm_accuracy" and
"next_sentence_accuracy", measured on held-out records.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from common.atomic import write_json, write_text
from common.errors import UserError
from common.figures import new_figure, save_figure
from common.files import parse_json, read_lines
from common.markdown import table
from training import cli
from training.help import group

FLAGS = flags.FLAGS

group("Input and output")
flags.DEFINE_string("curves", None, "File of curves, curves.jsonl.")
flags.DEFINE_string(
    "output_dir", None, "Folder for pretraining.png, .svg, .md and .json (every value)."
)

# The loss at which a model is past the plateau of its first tokens.
MARK = 5.0
COLOURS = {"128": "#7fb3d5", "256": "#2471a3", "512": "#154360"}
STYLES = {"1": ":", "2": "-", "4": "--", "8": "-."}


def read_curves(path: str) -> dict[str, list[dict[str, Any]]]:
    """Model -> its points, by tokens.

    Raises:
      UserError: A line is no such object.
    """
    curves: dict[str, list[dict[str, Any]]] = {}
    for number, line in read_lines(path):
        try:
            point = parse_json(line)
            curves.setdefault(point["model"].replace("-", "/"), []).append(point)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(
                f'{path}, line {number}: found "{line:.40}", expected a point.'
            ) from None
    return {model: curves[model] for model in sorted(curves, key=_layers_and_width)}


def _layers_and_width(model: str) -> tuple[int, int]:
    layers, width = map(int, model.split("/"))
    return width, layers


def tokens_to(points: Sequence[Mapping[str, Any]], loss: float) -> float | None:
    """Tokens at the first measured point with that loss or less."""
    return next((p["positions"] for p in points if p["masked_lm_loss"] <= loss), None)


def markdown(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A row for each model at its end."""
    rows = []
    for model, points in curves.items():
        last, passed = points[-1], tokens_to(points, MARK)
        rows.append(
            [
                model,
                f"{last['positions'] / 1e6:.0f} M",
                f"{last['masked_lm_loss']:.3f}",
                f"{100 * last['masked_lm_accuracy']:.1f}",
                f"{100 * last['next_sentence_accuracy']:.1f}",
                f"{passed / 1e6:.0f} M" if passed else "not reached",
                f"{last['seconds']:.0f}",
            ]
        )
    header = [
        "L/H",
        "tokens",
        "masked-LM loss",
        "masked words right (%)",
        "next sentence right (%)",
    ]
    lines = table([*header, f"tokens to a loss of {MARK:g}", "seconds"], rows)
    return "\n".join(lines) + "\n"


def main(_: Sequence[str]) -> None:
    curves = read_curves(FLAGS.curves)
    figure, axes = new_figure(11, 4.2, 2)
    for model, points in curves.items():
        layers, width = model.split("/")
        colour, style = COLOURS.get(width, "k"), STYLES.get(layers, "-")
        tokens = [point["positions"] / 1e6 for point in points]
        for panel, name in zip(axes, ("masked_lm_loss", "masked_lm_accuracy"), strict=True):
            values = [point[name] for point in points]
            panel.plot(tokens, values, label=model, color=colour, linestyle=style)
    for panel, name in zip(axes, ("masked-LM loss", "masked words right"), strict=True):
        panel.set_xlabel("million tokens, padding included")
        panel.set_ylabel(f"{name}, held out")
        panel.grid(alpha=0.3)
    axes[1].legend(fontsize="small", ncols=2)
    text = markdown(curves)
    write_json(os.path.join(FLAGS.output_dir, "pretraining.json"), curves)
    write_text(os.path.join(FLAGS.output_dir, "pretraining.md"), text)
    for ending in ("png", "svg"):
        save_figure(figure, os.path.join(FLAGS.output_dir, f"pretraining.{ending}"))
    print(text, end="")


if __name__ == "__main__":
    flags.mark_flags_as_required(["curves", "output_dir"])
    cli.run(main)
