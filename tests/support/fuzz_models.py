"""Damages tiny model files at random and looks whether any harm gets past the probe.

``python -m tests.support.fuzz_models --seconds 60 --seed 1 --keep FOLDER``. Each file is described
by a process of its own, as the probe does it; if that accepts the file, another one loads it and
generates. A process that dies there would have been the engine's: that is a finding.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lmx.engine import Engine, EngineError, Sampling, _core
from lmx.engine.estimates import context_spec
from lmx.engine.probe import describe
from tests.support.tiny import GENERATORS, tiny_model

_TIME_S: Final = 30
_MEMORY: Final = 4 * 2**30
_NUMBERS: Final = (0, 1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def damage(data: bytes, header: int, chance: random.Random) -> bytes:
    """A file with one to eight changes, most of them where its metadata lies."""
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        end = header if chance.random() < 0.9 else len(damaged)
        at = chance.randrange(4, max(5, min(end, len(damaged)) - 8))
        match chance.randrange(5):
            case 0:
                damaged[at] ^= 1 << chance.randrange(8)
            case 1:
                damaged[at] = chance.randrange(256)
            case 2:
                damaged[at : at + 4] = struct.pack("<I", chance.choice(_NUMBERS) % 2**32)
            case 3:
                damaged[at : at + 8] = struct.pack("<Q", chance.choice(_NUMBERS))
            case _:
                number = bytes(struct.pack("<I", chance.choice((1, 2, 4, 32, 64, 128))))
                found = damaged.find(number, at)  # a plausible number for another
                if found > 0:
                    damaged[found : found + 4] = struct.pack("<I", chance.choice(_NUMBERS) % 2**32)
    if chance.random() < 0.05:
        del damaged[chance.randrange(len(damaged)) :]
    return bytes(damaged)


def alone(body: Callable[[], int]) -> int:
    """Runs `body` in a process of its own; returns its exit code, or minus the signal."""
    child = os.fork()
    if child == 0:
        os.environ["GGML_NO_BACKTRACE"] = "1"
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        signal.alarm(_TIME_S)
        try:
            os._exit(body())
        except BaseException:
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def probe(path: Path) -> int:
    """0: accepted, 1: refused."""
    return 1 if "error" in describe(str(path)) else 0


def use(path: Path) -> int:
    """0: it generates, 1: an ordinary error."""
    try:
        _core.measure(str(path), context_spec(256, 1, "f16", 64, "auto"), "cpu")
        with Engine(device="cpu", threads=1, max_slots=1) as whole:
            sampling = Sampling(temperature=0)
            request = whole.submit(
                model=path, prompt="The sky", max_tokens=4, n_ctx=256, sampling=sampling
            )
            request.result(_TIME_S)
    except (EngineError, TimeoutError):
        return 1
    return 0


def header_size(data: bytes) -> int:
    """Where the last name of a tensor ends, roughly: the weights follow."""
    return data.rfind(b".weight") + 64


def fuzz(seconds: float, seed: int, keep: Path) -> tuple[Counter[str], list[Path]]:
    """What became of the files, and those that killed the process that had accepted them."""
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    findings: list[Path] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = {kind: tiny_model(folder, kind).read_bytes() for kind in GENERATORS}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kind = chance.choice(GENERATORS)
            path = folder / "damaged.gguf"
            path.write_bytes(damage(whole[kind], header_size(whole[kind]), chance))
            told = alone(lambda: probe(path))  # noqa: B023 - called at once
            if told != 0:
                outcomes["refused" if told == 1 else "killed the probe"] += 1
                continue
            used = alone(lambda: use(path))  # noqa: B023
            outcomes[{0: "used", 1: "failed in use"}.get(used, f"FINDING {used}")] += 1
            if used not in (0, 1):
                findings.append(
                    Path(shutil.move(path, keep / f"finding-{kind}-{seed}-{len(findings)}.gguf"))
                )
    return outcomes, findings


def main() -> int:
    """Prints the outcomes; 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path())
    asked = parser.parse_args()
    outcomes, findings = fuzz(asked.seconds, asked.seed, asked.keep)
    for outcome, count in outcomes.most_common():
        print(f"{count:6d} {outcome}")
    for path in findings:
        print(f"kept {path}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
