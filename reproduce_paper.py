"""Runs the tables and figures of the paper (Turc et al. 2019), and writes each beside its claims.

What several of them need is trained once. Run the same command again to continue; reports are written
as soon as the runs of a table or figure are done.

The commands and the hours they are thought to take, without any data at hand:
  python reproduce_paper.py --artifact=all --scale=small --dry_run
One figure, at the scale of two cores:
  python reproduce_paper.py --artifact=figure7 --scale=small --data=paths.json --output_dir=paper
Everything at the paper's own scale, shared out over two machines that share the folder:
  python reproduce_paper.py --artifact=all --scale=paper --data=paths.json --output_dir=paper \\
    --shard_index=0 --num_shards=2

paths.json names the data: {"vocab_file": "vocab.txt", "teacher": "bert_large", "texts":
{"movie_reviews": "reviews*.txt", ...}, "tasks": {"sst-2": "glue/SST-2", ...}, "students":
{"2/128": "bert_tiny", ...}}. Students that it does not name are pre-trained.
"""

from collections.abc import Sequence

from absl import flags

from experiments.commands import define_run_flags
from training import cli
from training.help import group

FLAGS = flags.FLAGS

ARTIFACTS = (
    *("table1", "table2", "table3", "table4", "figure5", "figure6", "figure7", "figure8"),
    *("figure9", "figure10", "labels"),
)

group("What to reproduce")
flags.DEFINE_multi_enum(
    "artifact",
    ["all"],
    ["all", *ARTIFACTS],
    "Table or figure of the paper. labels, which the paper does not have, is a figure of the gain "
    "of each step by the number of labels.",
)
flags.DEFINE_enum(
    "scale",
    "small",
    ["small", "paper"],
    "Sizes, tasks and settings: small for two cores, paper for those of the paper.",
)
flags.DEFINE_string(
    "data",
    None,
    "JSON file with the paths of vocabulary, teacher, texts, tasks and pre-trained students; "
    "docs/recipes.md shows one. Not needed with --dry_run.",
)
flags.DEFINE_bool("dry_run", False, "Print the plan and its hours, and what data is missing.")
flags.DEFINE_enum(
    "machine",
    "2-cores",
    ["2-cores", "tpu-v3-8", "h200"],
    "The machine that the hours of the plan are estimated for.",
)
flags.DEFINE_bool("report_only", False, "Run nothing; write the reports of what is done so far.")

define_run_flags()
flags.DEFINE_integer("shard_index", 0, "Number of this machine among --num_shards, counted from 0.")
flags.DEFINE_integer(
    "num_shards",
    1,
    "Number of machines that divide the commands among them, in a shared --output_dir.",
    lower_bound=1,
)


def main(_: Sequence[str]) -> None:
    from experiments.paper.reproduction import ReproductionOptions, run
    from training.options import from_flags

    print(run(from_flags(ReproductionOptions, FLAGS)), end="")


if __name__ == "__main__":
    cli.run(main)
