#!/usr/bin/env bash
# Lint, type check and tests, in an environment of its own (environment.sh). Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
source ./environment.sh
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy .
exec "$PYTHON" -m pytest -n 2 --dist worksteal "$@"
