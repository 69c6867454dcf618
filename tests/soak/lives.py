"""The parent's part: lets engines end as chance has it, and keeps the books."""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.soak.setup import MIB

#: A child that has not said a word for so long hangs.
_SILENCE_S = 300.0
_PRINT_EVERY_S = 10.0
_BOUT_S = (15.0, 60.0)
#: glibc keeps large blocks that are freed once it has seen some; so that what stays after an engine
#: is what was not freed, it gives them back at once.
_GIVE_BACK = "glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072"


class Soak:
    """Starts a child, ends its engines by "drain", "close" or SIGKILL, starts the next."""

    def __init__(self, setup_file: Path, rng: random.Random) -> None:
        self._setup_file, self._rng = setup_file, rng
        self.faults: list[str] = []
        self.ends: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.rests: list[int] = []
        self._look: dict[str, Any] = {}
        self._peak = 0.0
        self._began = self._printed = time.monotonic()

    def run(self, until: float) -> None:
        while time.monotonic() < until and not self.faults:
            self._one_life(until)

    def _one_life(self, until: float) -> None:
        child = _Child(self._setup_file, life=sum(self.ends.values()))
        try:
            while not self.faults:
                end = self._rng.choice(("drain", "close", "kill"))
                seconds = self._rng.uniform(*_BOUT_S)
                last = time.monotonic() + seconds >= until
                self._follow(child, min(time.monotonic() + seconds, until))
                if end == "kill" and not last:
                    break
                if self.faults:
                    return
                end = "drain" if last else end
                child.order(end)
                self._follow(child, None)
                self._book(end)
                if last:
                    return
            self._book("kill -9")
        finally:
            self._ended(child)

    def _follow(self, child: _Child, until: float | None) -> None:
        """Reads what the child says until then, or until its engine rests."""
        while until is None or time.monotonic() < until:
            left = _SILENCE_S if until is None else min(_SILENCE_S, until - time.monotonic())
            try:
                said = child.said.get(timeout=max(left, 0.01))
            except queue.Empty:
                if until is None or left >= _SILENCE_S:
                    self.faults.append(
                        f"nothing was heard for {_SILENCE_S:.0f} s\n{child.stacks()}"
                    )
                    return
                continue
            if said is None:
                self.faults.append(f"the process died: {child.post_mortem()}")
                return
            self._note(said)
            if said["kind"] == "rest" and until is None:
                return

    def _note(self, said: dict[str, Any]) -> None:
        kind = said["kind"]
        self.faults += said.get("faults", [])
        if kind == "fault":
            self.faults.append(f"{said['client']}, {said['action']}: {said['text']}")
        elif kind == "rest":
            self.rests.append(said["resident"])
        elif kind == "look":
            self._look = said
            self._peak = max(self._peak, said["used"] / said["cap"])
            self._print()

    def _book(self, end: str) -> None:
        """An engine has ended: what it did counts."""
        self.ends[end] += 1
        self.done.update(self._look.get("counts", {}))
        self.totals.update(self._look.get("totals", {}))
        self._look = {}

    def _ended(self, child: _Child) -> None:
        code = child.kill()
        if code not in (0, -signal.SIGKILL):
            self.faults.append(f"the process ended with {code}: {child.post_mortem()}")

    def _print(self) -> None:
        now = time.monotonic()
        if now - self._printed < _PRINT_EVERY_S:
            return
        self._printed = now
        look = self._look
        compared = self.done["answers compared"] + look["counts"].get("answers compared", 0)
        print(
            f"{now - self._began:7.0f} s  {compared} answers compared, {look['live']} live,"
            f" {look['used'] / MIB:.1f} of {look['cap'] / MIB:.1f} MiB booked,"
            f" {look['resident'] / MIB:.0f} MiB resident; engines ended: {_listed(self.ends)}",
            flush=True,
        )

    def summary(self) -> str:
        rests = [value // MIB for value in self.rests]
        lines = [
            f"engines ended      {_listed(self.ends)}",
            f"actions            {_listed(self.done)}",
            f"totals             {_listed(self.totals)}",
            f"peak booked        {self._peak:.1%} of the cap",
            f"resident at rest   {rests[0] if rests else '-'} to {max(rests, default='-')} MiB",
            f"faults             {len(self.faults)}",
        ]
        return "\n".join([*lines, *self.faults])


class _Child:
    """The process with the engine, and what it says line by line; None when it has ended."""

    def __init__(self, setup_file: Path, life: int) -> None:
        self._errors = setup_file.with_name(f"stderr-{life}.txt")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.child", str(setup_file), str(life)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "GLIBC_TUNABLES": _GIVE_BACK},
            )
        self.said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # the last one of a killed process may be cut
                self.said.put(json.loads(line))
        self.said.put(None)

    def order(self, how: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{how}\n")
        self._process.stdin.flush()

    def kill(self) -> int:
        self._process.kill()
        return self._process.wait()

    def stacks(self) -> str:
        """Where its Python threads are."""
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(1)  # it writes them by itself
        return self.post_mortem()

    def post_mortem(self) -> str:
        code = self._process.poll()
        tail = self._errors.read_text(errors="replace")[-4000:]
        return f"exit code {code}\n{tail}"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:g} {name}" for name, count in sorted(counts.items())) or "none"
