"""Writes docs/reference/flags.md from the flags of all scripts.

After a change of flags:
  python docs/generate_flags.py
Whether the page is up to date, which a test asks as well; exit status 1 if not:
  python docs/generate_flags.py --check
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import runpy
import sys

from absl import flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "flags.md"
sys.path.insert(0, str(ROOT))

from training.help import default_text, grouped_flags, meaning, usage  # noqa: E402

# Scripts at the top in the order of the pipeline, and what is called with `python -m`.
SCRIPTS = [
    "create_pretraining_data.py",
    "run_pretraining.py",
    "run_classifier.py",
    "create_transfer_set.py",
    "create_soft_labels.py",
    "run_distill.py",
    "run_grid_search.py",
    "plot_runs.py",
    "reproduce_paper.py",
    "predict.py",
    "extract_features.py",
    "convert_checkpoint.py",
    "export_model.py",
    "measure_similarity.py",
    "benchmark_models.py",
    "estimate_tpu.py",
]
MODULES = [
    "experiments.compare_strategies",
    "experiments.learn_vocabulary",
    "experiments.label_subset",
    "experiments.median_run",
    "experiments.glue_table",
    "experiments.docstring_corpus",
    "benchmarks.compare",
    "benchmarks.export_speed",
    "benchmarks.step_profile",
]
INTRODUCTION = """# Flags

<!-- Written by docs/generate_flags.py. Do not edit: change the help of the flag and run it again. -->

All flags of all scripts, in the groups and words of `--help`. Those that google-research/bert has
keep its names, meanings and defaults. A flag is written `--name=value`; one shown as `--[no]name` is
switched on by `--name` and off by `--noname`. absl's own flags, such as `--flagfile`, are shown by
`--helpfull`.

A flag without effect is refused before the run where the run would not be the one asked for
(`--evaluate_steps` without `--do_eval`, `--init_layers` without `--init_checkpoint`, `--labels` for
GLUE's tasks, `--num_warmup_steps` above `--num_train_steps`), and else named in one line (flags of
training beside `--do_predict` alone). What each flag needs is listed in `training/flag_checks.py`.
"""


def script_groups(script: str) -> dict[str, list[flags.Flag]]:
    """Heading -> flags of a script, which is run with --help to define them."""
    before = set(flags.FLAGS)
    arguments = sys.argv
    sys.argv = [script, "--help"]
    try:
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            if script.endswith(".py"):
                runpy.run_path(str(ROOT / script), run_name="__main__")
            else:
                runpy.run_module(script, run_name="__main__")
        return grouped_flags()
    finally:
        sys.argv = arguments
        # The next script defines flags of the same names.
        for name in set(flags.FLAGS) - before - {"help", "helpshort", "helpfull", "helpxml", "?"}:
            delattr(flags.FLAGS, name)


def page() -> str:
    """The whole page in Markdown."""
    parts = [INTRODUCTION]
    for script in [*SCRIPTS, *MODULES]:
        title = script if script.endswith(".py") else f"python -m {script}"
        parts.append(f"## {title}\n")
        for heading, members in script_groups(script).items():
            parts.append(f"**{heading}**\n\n| Flag | Default | Meaning |\n|---|---|---|")
            parts[-1] += "".join("\n" + _row(flag) for flag in members) + "\n"
    return "\n".join(parts)


def _row(flag: flags.Flag) -> str:
    default = default_text(flag)
    if default and default != "required":
        default = f"`{default}`"
    name, _, values = usage(flag).partition("=")
    # A bar would end the cell, and inside of code it can be escaped for GitHub or for MkDocs.
    one_of = f"One of `{'`, `'.join(values.split('|'))}`. " if "|" in values else ""
    return f"| `{name}` | {_cell(default)} | {one_of}{_cell(meaning(flag))} |"


def _cell(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;")


def main() -> None:
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(
            f"{PAGE.relative_to(ROOT)} is stale: python docs/generate_flags.py writes it anew."
        )


if __name__ == "__main__":
    main()
