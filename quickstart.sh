#!/usr/bin/env bash
# The whole of Pre-trained Distillation on English that is already on this machine: the docstrings
# of the installed Python packages. Teacher, Basic, KD, PF, PD and PD-F over three seeds, one table.
# Needs no network beyond the package installation; run it again to continue or to see the table.
set -euo pipefail
cd "$(dirname "$0")"
source ./environment.sh
OUTPUT="${1:-quickstart_output}"
"$PYTHON" -m experiments.docstring_corpus --output_dir="$OUTPUT/corpus"
exec "$PYTHON" -m experiments.compare_strategies \
  --task_name=tsv --text_a=sentence --label=label --data_dir="$OUTPUT/corpus/task" \
  --lm_file="$OUTPUT/corpus/lm.txt" --transfer_file="$OUTPUT/corpus/transfer.txt" \
  --vocab_file="$OUTPUT/corpus/vocab.txt" --output_dir="$OUTPUT" \
  --student=tiny --teacher_config=mini
