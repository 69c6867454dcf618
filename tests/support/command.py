"""The `lmx` command in tests: arguments and standard input go in; output and exit code come out."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lmx.api.cli.app import execute
from lmx.workflows.database.connect import Database
from lmx.workflows.models import Model, Need, add_model
from tests.support.hands import Hands
from tests.support.supervised import environment


@dataclass(frozen=True)
class Result:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


class Lmx:
    """Runs commands against one database."""

    def __init__(
        self,
        home: Path,
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.database = database
        self.environment: Mapping[str, str] = environment(home, database)
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("LMX_HOME", str(home))
        monkeypatch.setenv("LMX_DATABASE_URL", database.conninfo)

    def __call__(self, *args: str | int | Path, stdin: bytes = b"") -> Result:
        """Run a command in this process, which is quick."""
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capsys.readouterr()
        code = execute([str(arg) for arg in args])
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def start(
        self, *args: str | int | Path, stdin: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[str]":
        """Start a command as a process of its own, for one that waits."""
        return subprocess.Popen(
            [sys.executable, "-m", "lmx.api.cli", *map(str, args)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(self.environment),
        )

    def finish(self, process: "subprocess.Popen[str]") -> Result:
        """Wait for a started command's end."""
        out, err = process.communicate(timeout=30)
        return Result(process.returncode, out, err)


def register(hands: Hands, name: str) -> str:
    """Register a model of 105 bytes per 512 tokens of context and 1005 for 4096."""
    needs = {512: Need(100, 1, 4), 4096: Need(100, 901, 4)}
    info = {"arch": "llama", "n_ctx_train": 4096, "chat_template": "{{ messages }}"}
    add_model(hands.conn, Model(name, f"/models/{name}.gguf", "0" * 64, 9, 512, 1, 2, info, needs))
    return name


def count_tasks(hands: Hands) -> int:
    """How many tasks there are in the database."""
    count: int = hands.value("SELECT count(*) FROM lmx.tasks")
    return count


@pytest.fixture
def lmx(
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Lmx:
    """The command, with a fresh database and an empty home."""
    return Lmx(tmp_path / "home", database, monkeypatch, capsys)
