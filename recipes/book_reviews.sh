#!/usr/bin/env bash
# What a larger transfer set is worth: book reviews in three classes, nested sets of unlabelled
# reviews (Figure 8 of the paper). Paths are yours; every other flag can be overridden, too:
#
#   bash recipes/book_reviews.sh --data_dir=book_reviews --transfer_file=unlabelled.txt.xz \
#     --vocab_file=vocab.txt --student_checkpoint=bert_tiny --teacher_checkpoint=bert_base \
#     --output_dir=book_reviews_output
#
# --data_dir        train.tsv and dev.tsv with the columns label and text (also .gz, .xz)
# --transfer_file   unlabelled reviews, one a line
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
exec "$PYTHON" -m experiments.compare_strategies \
  --task_name=book-reviews --student=tiny --seeds=1,2,3 --jobs=2 --max_seq_length=128 \
  --batch_size=64 --transfer_sizes=1000,4000,16000 --distill_examples=32000 \
  --teacher_learning_rate=5e-5 --teacher_epochs=1 \
  --label_learning_rate=3e-4 --label_epochs=3.2 --distill_learning_rate=3e-4 "$@"
