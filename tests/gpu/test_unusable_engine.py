"""An engine that was built for another Python or llama.cpp is told in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.errors import EXIT_INSTALLATION
from tests.support.supervised import environment

# What the dynamic linker says, raised where the compiled part would be loaded.
_BREAKS = """
import importlib.abc, sys

class Breaks(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "lmx.engine._core":
            raise ImportError("_core.so: undefined symbol: llama_get_memory_breakdown")

sys.meta_path.insert(0, Breaks())
"""


@pytest.mark.parametrize(
    ("program", "code", "told"),
    [
        (["lmx.workers", "gpu"], EXIT_INSTALLATION, "lmx worker gpu: the engine cannot be loaded"),
        (["lmx.workers.inspect", "--devices"], 5, "engine_missing"),
    ],
)
def test_an_engine_that_cannot_be_loaded_is_one_line_that_says_what_to_do(
    tmp_path: Path, database: Database, program: list[str], code: int, told: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_BREAKS)
    env = dict(environment(tmp_path, database))
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", *program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if "INFO" not in line]
    assert told in line
    assert "undefined symbol" in line
    if code == EXIT_INSTALLATION:
        assert line.endswith("make engine")
