#!/usr/bin/env bash
# Writes the lock files: the versions of all packages that pyproject.toml asks for, and the hashes of
# their files, without which pip installs none of them (environment.sh).
#
#   bash lock.sh               keeps the versions that are locked and adds what has come to pyproject.toml
#   UPGRADE=1 bash lock.sh     the newest versions that agree with each other
#
# The hashes are those of all files of a version: Python 3.10 to 3.13 (3.11 and later for GPU, TPU and parity,
# 3.11 for Beam), Linux on x86_64 and aarch64 among them.
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9

# One line for each way in which packages ask for etils: the pip that comes with Python 3.10 and 3.11
# takes etils[epath] for unpinned where only etils or more extras of it are pinned.
as_asked_for() {
  awk -v asked='etils[edc,enp,epath,epy,etree] etils[epath]' '
    /^[^ ]/ { is_etils = /^etils/; is_first = is_etils && version == "" }
    !is_etils { print; next }
    is_first && /^[^ ]/ { version = $0; sub(/.*==/, "", version); sub(/ .*/, "", version); next }
    is_first { hashes = hashes "\n" $0 }
    END {
      count = version == "" ? 0 : split(asked, names, " ")
      for (i = 1; i <= count; i++) print names[i] "==" version " \\" hashes
    }'
}

# lock FILE OPTION...: the versions of FILE are kept; its comment and -r line stay as they are.
lock() {
  local file=$1
  shift
  grep '^\(#\|-r\)' "$file" >"$work/head" || true
  if [ -n "${UPGRADE:-}" ]; then
    : >"$work/pins"
  else
    grep -v '^\(#\|-r\)' "$file" >"$work/pins" || true  # A new file has none.
  fi
  "$work/venv/bin/uv" pip compile --quiet --generate-hashes --no-strip-extras --no-emit-index-url \
    --no-annotate --no-header --constraints "$work/pins" "$@" pyproject.toml | as_asked_for >"$work/lock"
  cat "$work/head" "$work/lock" >"$file"
  echo "$file: $(grep -c '==' "$file") packages"
}

lock requirements.lock --universal --python-version 3.10 --extra dev --extra docs
# These three come on top of it, so they hold only what it does not (for their Python, 3.11).
added=(--constraints requirements.lock --universal --python-version 3.11 --extra dev)
for name in $(grep -v "python_full_version < '3.11'" requirements.lock | grep -oE '^[a-z0-9][a-z0-9._-]*'); do
  added+=(--no-emit-package "$name")
done
lock requirements-tpu.lock "${added[@]}" --extra tpu
lock requirements-gpu.lock "${added[@]}" --extra gpu
lock requirements-parity.lock "${added[@]}" --extra parity
lock requirements-beam.lock --python-version 3.11 --python-platform x86_64-unknown-linux-gnu \
  --extra beam --extra dev
