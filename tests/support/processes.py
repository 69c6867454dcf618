"""Runs Python programs that can import lmx, as processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start_python(
    code: str, *arguments: str | Path, stdin: int | None = None
) -> "subprocess.Popen[str]":
    """Start `code` in a new Python process; its output is text in pipes."""
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), inherited]))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def run_python(code: str, *arguments: str | Path) -> str:
    """Run `code` to its end and return what it printed; fail with its errors otherwise."""
    process = start_python(code, *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output
