"""Forks processes that are ready in milliseconds, because everything is imported already.

`python -m tests.support.zygote` reads one request per line and answers with the pid of a process
that runs `module:function` with the arguments and in the environment given, as if started anew.
"""

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT

# What the processes import themselves; loading it starts no thread and opens no connection.
_PRELOADED = ("lmx.workers.__main__", "lmx.workflows.control", "tests.support.flows")
_PR_SET_PDEATHSIG = 1


class Zygote:
    """A running zygote, as its test session sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        )

    def start(
        self, program: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> int:
        """Start a program whose output goes to `log`; return its pid."""
        request = {
            "program": program,
            "arguments": list(arguments),
            "environment": dict(environment),
            "log": str(log),
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the zygote, and with it what it has started."""
        self._process.communicate()


def _run(request: Mapping[str, Any]) -> int:
    """Become the process that was asked for."""
    log = os.open(request["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # do not outlive the tests
    os.environ.update(request["environment"])
    from lmx.workflows import faults

    importlib.reload(faults)  # it reads the environment
    module, _, function = request["program"].partition(":")
    code = getattr(importlib.import_module(module), function)(request["arguments"])
    return int(code or 0)


def main() -> None:
    """Serve requests until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children leave no zombies
    for name in _PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _run(json.loads(line))
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
