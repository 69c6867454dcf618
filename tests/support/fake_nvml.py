"""A stand-in for NVIDIA's management library, for the real pynvml to load; and who reads it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.processes import start_python

BUS_ID: Final = "0000:c1:00.0"

_READER = """
import dataclasses, json, sys
from lmx.workers.gpu.nvml import Nvml
readers = {}
for line in sys.stdin:
    bus_id = line.strip()
    nvml = readers.setdefault(bus_id, Nvml(bus_id or None))
    reading = nvml.read()
    answer = {"reading": reading and dataclasses.asdict(reading), "problem": nvml.problem}
    print(json.dumps(answer), flush=True)
"""


def build(folder: Path) -> Path:
    """Compile the library into `folder`; returns it."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))))
    source = Path(__file__).with_suffix(".c")
    library = folder / "libnvidia-ml.so.1"
    if not library.exists():
        made = folder / f"{os.getpid()}.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source], check=True)
        made.replace(library)
    return library


@dataclass
class FakeGpu:
    """What the stand-in says, as its script; `set` changes it while a reader runs."""

    script: Path
    lines: dict[str, str] = field(default_factory=lambda: {"device": BUS_ID})

    def set(self, *raw: str, **lines: str) -> None:
        """Replace lines by their first word; `raw` ones are repeated as they are."""
        self.lines.update(lines)
        text = "\n".join([*(f"{word} {rest}" for word, rest in self.lines.items()), *raw, ""])
        fresh = self.script.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.script)


class Reader:
    """A process that reads a GPU through lmx whenever it is asked."""

    def __init__(self) -> None:
        self._process = start_python(_READER, stdin=subprocess.PIPE)
        self.pid = self._process.pid

    def look(self, bus_id: str = BUS_ID) -> dict[str, Any]:
        """What it reads now: `reading` and `problem`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{bus_id}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)
