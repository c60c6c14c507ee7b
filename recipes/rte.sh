#!/usr/bin/env bash
# Pre-trained Distillation for RTE with a transfer set of sentence pairs, as NLI* in the paper.
# Paths are yours; every other flag can be overridden, too:
#
#   bash recipes/rte.sh --data_dir=glue/RTE --pairs='sentence_pairs.tsv.xz' --vocab_file=vocab.txt \
#     --student_checkpoint=bert_tiny --teacher_checkpoint=bert_base --output_dir=rte_output
#
# --pairs   unlabelled sentence pairs, two columns; pairs of the dev and test sets are left out
# --student_checkpoint, --teacher_checkpoint   pre-trained, in any form (convert_checkpoint.py)
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
pairs="" data_dir="" output_dir=rte_output
arguments=()
for argument in "$@"; do
  case "$argument" in
    --pairs=*) pairs="${argument#*=}" ;;
    --data_dir=*) data_dir="${argument#*=}" ;;
    --output_dir=*) output_dir="${argument#*=}" ;;
    *) arguments+=("$argument") ;;
  esac
done
"$PYTHON" create_transfer_set.py --input_file="$pairs" --exclude_task="rte:$data_dir" --drop_leaks \
  --output_file="$output_dir/transfer.tsv"
exec "$PYTHON" -m experiments.compare_strategies \
  --task_name=RTE --data_dir="$data_dir" --transfer_file="$output_dir/transfer.tsv" \
  --student=tiny --seeds=1,2,3 --jobs=2 --max_seq_length=128 --batch_size=32 \
  --teacher_learning_rate=5e-5 --teacher_epochs=4 \
  --label_learning_rate=3e-4 --label_epochs=6 \
  --distill_learning_rate=3e-4 --distill_epochs=1 \
  --final_learning_rate=5e-5 --final_epochs=3 \
  --output_dir="$output_dir" ${arguments[@]+"${arguments[@]}"}
