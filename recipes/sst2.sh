#!/usr/bin/env bash
# Pre-trained Distillation for SST-2 on real text: teacher, Basic, KD, PF, PD and PD-F, three seeds.
# About an hour on two cores. Paths are yours; every other flag can be overridden, too:
#
#   bash recipes/sst2.sh --data_dir=glue/SST-2 --vocab_file=vocab.txt \
#     --lm_file='wikipedia.txt.xz,reviews_as_documents.txt' --transfer_file=movie_reviews.txt.xz \
#     --teacher_checkpoint=model_folder --output_dir=sst2_output
#
# --lm_file         paragraphs, one a line, blank line between documents
# --transfer_file   unlabelled reviews, one a line
# --teacher_checkpoint   any pre-trained model folder (convert_checkpoint.py makes one of a
#                        Hugging Face BERT); it is fine-tuned on the task here
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
exec "$PYTHON" -m experiments.compare_strategies \
  --task_name=SST-2 --student=tiny --seeds=1,2,3 --jobs=2 --max_seq_length=64 --batch_size=64 \
  --lm_sentence_split --lm_max_seq_length=64 --lm_batch_size=64 --lm_student_steps=12000 \
  --lm_learning_rate=1e-3 \
  --teacher_learning_rate=5e-5 --teacher_epochs=2 \
  --label_learning_rate=3e-4 --label_epochs=2 \
  --distill_learning_rate=3e-4 --distill_epochs=1 \
  --final_learning_rate=5e-5 --final_epochs=1 "$@"
