#!/bin/sh
# Make the environment of LiteLLM, apart from lmx's: it pins other versions of the same libraries.
# Usage: benchmarks/providers/setup.sh [PYTHON]; safe to repeat.
set -eu

cd "$(dirname "$0")/../.."
python=${1:-python3}
venv=.venv-litellm
wanted=$(cksum < benchmarks/requirements-litellm.txt)

if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.wanted" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
echo "benchmarks: installing LiteLLM into $venv" >&2
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r benchmarks/requirements-litellm.txt
echo "$wanted" > "$venv/.wanted"
