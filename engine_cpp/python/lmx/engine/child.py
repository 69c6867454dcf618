"""A child process that answers questions, one line of JSON each, and may die of any of them."""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from typing import Any

from lmx.engine.errors import EngineError

_PATIENCE_S = 60.0  # of the clock; the child itself gives up after seconds of computing


class Overwhelmed(EngineError):
    """The child died of the question, or did not answer in time. The next one gets a new child."""


class Child:
    """Starts ``python -m module`` when it is first asked; asks it again after it has died.

    Thread-safe: one question at a time.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._answered = False
        atexit.register(self.close)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The child's answer. Raises Overwhelmed, or EngineError when it cannot even start."""
        line = json.dumps(question).encode() + b"\n"
        with self._lock:
            process = self._running()
            try:
                answer = _exchange(process, line)
            except (OSError, TimeoutError):
                answer = b""
            if not answer.endswith(b"\n"):
                self._give_up(process)
            self._answered = True
            parsed: dict[str, Any] = json.loads(answer)
            return parsed

    def close(self) -> None:
        """Ends the child. Idempotent; a later question starts another."""
        with self._lock:
            process, self._process = self._process, None
            if process is None or self._owner != os.getpid():
                return
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            )
            self._owner = os.getpid()
            self._answered = False
        return self._process

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        process.kill()
        process.communicate()
        if not self._answered and process.returncode > 0:
            raise EngineError(f"the process {self._module} does not start; is the engine whole?")
        raise Overwhelmed(f"{self._module} was overwhelmed")


def _exchange(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    """Writes a line and reads one; without its end when the process has died."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    ready = select.poll()
    ready.register(process.stdout, select.POLLIN)
    until = time.monotonic() + _PATIENCE_S
    answer = b""
    while not answer.endswith(b"\n"):
        if not ready.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError
        piece = os.read(process.stdout.fileno(), 1 << 20)
        if not piece:
            break
        answer += piece
    return answer
