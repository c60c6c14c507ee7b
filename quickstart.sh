#!/usr/bin/env bash
# The whole of Pre-trained Distillation on English that is already on this machine: the docstrings
# of the installed Python packages. Teacher, Basic, KD, PF, PD and PD-F over three seeds, one table.
# Needs no network beyond the package installation; run it again to continue or to see the table.
set -euo pipefail
cd "$(dirname "$0")"
source ./environment.sh
OUTPUT="${1:-quickstart_output}"
"$PYTHON" -m experiments.docstring_corpus --output_dir="$OUTPUT/corpus" --train_size=2000
exec "$PYTHON" -m experiments.compare_strategies \
  --task_name=tsv --text_a=sentence --label=label --data_dir="$OUTPUT/corpus/task" \
  --lm_file="$OUTPUT/corpus/lm.txt" --transfer_file="$OUTPUT/corpus/transfer.txt" \
  --vocab_file="$OUTPUT/corpus/vocab.txt" --output_dir="$OUTPUT" \
  --student=tiny --teacher_config=2/256 --max_seq_length=64 --lm_max_seq_length=64 \
  --lm_dupe_factor=5 --lm_batch_size=32 --batch_size=64 \
  --lm_teacher_steps=2000 --lm_teacher_learning_rate=5e-4 \
  --lm_student_steps=3500 --lm_learning_rate=1e-3 \
  --teacher_learning_rate=2e-4 --teacher_epochs=8 \
  --label_learning_rate=3e-4 --label_epochs=10 \
  --distill_learning_rate=5e-4 --distill_epochs=2 \
  --final_learning_rate=1e-4 --final_epochs=3
