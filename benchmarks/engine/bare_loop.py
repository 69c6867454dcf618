"""The bare loop over llama_decode, in a process that waits between its rounds."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.engine.settings import Spent


@dataclass(frozen=True)
class LoopRound:
    """What one round took: the prompts of all sequences, and then their tokens."""

    prefill: Spent
    decode: Spent

    @property
    def whole(self) -> Spent:
        wall = self.prefill.wall + self.decode.wall
        return Spent(wall, self.prefill.cpu + self.decode.cpu)


class BareLoop:
    """A context of ``n_seq`` sequences of ``n_ctx`` tokens each. Use it as a context manager."""

    def __init__(self, program: Path, model: Path, n_ctx: int, n_seq: int, threads: int) -> None:
        command = [program, model, n_ctx, n_seq, threads]
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> BareLoop:
        assert self._answer() == "ready"
        return self

    def run(self, prompt: str, n_tokens: int) -> LoopRound:
        """Generates ``n_tokens`` greedily in each sequence."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{n_tokens} {prompt}\n")
        self._process.stdin.flush()
        took = json.loads(self._answer())
        return LoopRound(
            Spent(took["prefill_s"], took["prefill_cpu_s"]),
            Spent(took["decode_s"], took["decode_cpu_s"]),
        )

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"the bare loop ended with exit code {self._process.wait()}")
        return line

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()
