#!/bin/sh
# Make the benchmark environment: a virtual environment of its own with lmx (editable) and its peers.
# Usage: benchmarks/setup.sh [PYTHON]; safe to repeat, does nothing when the requirements are unchanged.
set -eu

cd "$(dirname "$0")/.."
python=${1:-python3}
venv=.venv-bench
wanted=$(cat benchmarks/requirements-peers.txt pyproject.toml | cksum)

if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.wanted" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
echo "benchmarks: installing lmx and its peers into $venv" >&2
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r benchmarks/requirements-peers.txt -e .
echo "$wanted" > "$venv/.wanted"
