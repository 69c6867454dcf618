"""Command line: `python -m tests.soak --help`, `make soak-engine SOAK_MINUTES=30`."""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.lives import Soak
from tests.soak.setup import Setup, World, make_world
from tests.support.models import model_variant, shipped_model
from tests.support.tiny import tiny_model, write_tiny_model

_CACHE = Path(__file__).resolve().parents[2] / ".cache"
_KINDS = ("llama", "qwen3", "mixtral")
_ODD_KINDS = ("gemma3", "mamba", "jamba")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--keep", action="store_true", help="leave the folder for inspection")
    return parser.parse_args()


def _worlds() -> list[World]:
    """Tiny models of every kind of memory, where much happens each second, and real ones."""
    tiny = [tiny_model(_CACHE, kind) for kind in _KINDS]
    odd = [tiny_model(_CACHE, kind) for kind in _ODD_KINDS]
    real = [shipped_model(), model_variant(_CACHE, "Q4_0"), tiny[0]]
    return [
        make_world("tiny", tiny, _deep_model("llama")),
        make_world("windows and states", odd, _deep_model("gemma3")),
        make_world("real", real, model_variant(_CACHE, "F16")),
    ]


def _deep_model(kind: str) -> Path:
    """A tiny model whose weights are more than all that a context of it takes beside them."""
    path = _CACHE / f"deep-{kind}.gguf"
    if not path.exists():
        write_tiny_model(path, kind, layers=24, feed=512)
    return path


def main() -> int:
    arguments = _arguments()
    print(f"soak of {arguments.minutes:g} minutes, seed {arguments.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="lmx-soak-"))
    _CACHE.mkdir(exist_ok=True)
    setup = Setup(arguments.seed, str(folder), arguments.clients, _worlds())
    setup_file = folder / "setup.json"
    setup.save(setup_file)
    print("what a fresh engine answers to each question alone", flush=True)
    subprocess.run([sys.executable, "-m", "tests.soak.solo", str(setup_file)], check=True)

    soak = Soak(setup_file, random.Random(arguments.seed))
    soak.run(until=time.monotonic() + arguments.minutes * 60)
    print(soak.summary(), flush=True)
    if soak.faults:
        print(f"again with: make soak-engine SOAK_SEED={arguments.seed}; see {folder}", flush=True)
        return 1
    if not arguments.keep:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
