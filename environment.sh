# Sourced by quickstart.sh and run_tests.sh: makes .venv with the locked versions, or re-uses it.
# Afterwards $PYTHON is its interpreter. Set PYTHON beforehand to use an environment of your own, or
# PARITY=1 to have Hugging Face and PyTorch in it too, GPU=1 NVIDIA's libraries for GPUs, or TPU=1 the
# TPU compiler (all three Python 3.11 or later).

if [ -z "${PYTHON:-}" ]; then
  if [ ! -x .venv/bin/python ]; then
    base=""
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
      if "$candidate" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
        2>/dev/null; then
        base="$candidate"
        break
      fi
    done
    if [ -z "$base" ]; then
      echo "ERROR: no Python 3.10 to 3.13 with the venv module found; TensorFlow 2.20 needs one." >&2
      exit 1
    fi
    "$base" -m venv .venv
  fi
  locks=(requirements.lock)
  if [ -n "${PARITY:-}" ]; then locks+=(requirements-parity.lock); fi
  if [ -n "${GPU:-}" ]; then locks+=(requirements-gpu.lock); fi
  if [ -n "${TPU:-}" ]; then locks+=(requirements-tpu.lock); fi
  unhashed=()
  if [ -n "${PARITY:-}" ]; then unhashed+=(requirements-torch.txt); fi
  # The stamp is written last, so an installation that was cut off is repeated.
  if ! cat "${locks[@]}" "${unhashed[@]}" | cmp -s - .venv/installed.lock; then
    echo "Installing the locked packages into .venv (about 2 GB, some minutes) ..." >&2
    # --require-hashes: a package that is not the one that was tested is refused (lock.sh).
    # --use-pep517: the pip that comes with Python 3.10 builds two packages in a way that fails.
    pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
    if ! "${pip[@]}" --require-hashes --use-pep517 "${locks[@]/#/-r}" ||
      { [ ${#unhashed[@]} -gt 0 ] && ! "${pip[@]}" "${unhashed[@]/#/-r}"; }; then
      echo "ERROR: the locked packages could not be installed; see the message of pip above." >&2
      exit 1
    fi
    cat "${locks[@]}" "${unhashed[@]}" >.venv/installed.lock
  fi
  PYTHON="$PWD/.venv/bin/python"
fi
export PYTHON
