#!/usr/bin/env bash
# Pre-training on several hosts of a SLURM cluster: one worker per host, which uses all its GPUs.
#
#   sbatch --nodes=4 examples/slurm.sh --input_file='/shared/records*' --output_dir=/shared/small \
#     --bert_config_file=small --vocab_file=/shared/vocab.txt --train_batch_size=256
#
# The arguments are flags of run_pretraining.py; SCRIPT names another script. Submit it from the
# folder of the repository, which all hosts must see, as they must the paths of the flags. The same
# command again goes on from the last saved state. SLURM sends SIGTERM five minutes before the time
# is over: the workers save their state and end.
#SBATCH --job-name=pretraining
#SBATCH --ntasks-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
set -euo pipefail
PYTHON="${PYTHON:-.venv/bin/python}"
SCRIPT="${SCRIPT:-run_pretraining.py}"
PORT="${PORT:-12345}"

workers=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:$PORT\"/" | paste -sd,)
export PYTHON SCRIPT workers
# Each task sets its own index; the arguments after `_` are the flags.
exec srun bash -c '
  export TF_CONFIG="{\"cluster\": {\"worker\": [$workers]},
    \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
  exec "$PYTHON" "$SCRIPT" --do_train "$@"' _ "$@"
