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

from tests.soak import features
from tests.soak.lives import Soak
from tests.soak.setup import make_setup
from tests.support.models import model_variant, shipped_model

_CACHE = Path(__file__).resolve().parents[2] / ".cache"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--keep", action="store_true", help="leave the folder for inspection")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    print(f"soak of {arguments.minutes:g} minutes, seed {arguments.seed}", flush=True)
    if lacks := features.missing():
        print(f"the engine lacks {', '.join(lacks)}: not soaked", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="lmx-soak-"))
    _CACHE.mkdir(exist_ok=True)
    models = [shipped_model(), model_variant(_CACHE, "Q4_0"), model_variant(_CACHE, "Q5_0")]
    setup = make_setup(
        arguments.seed, folder, models, model_variant(_CACHE, "F16"), arguments.clients
    )
    setup_file = folder / "setup.json"
    setup.save(setup_file)
    print("what a fresh engine answers to each question alone", flush=True)
    subprocess.run([sys.executable, "-m", "tests.soak.solo", str(setup_file)], check=True)

    soak = Soak(setup, setup_file, random.Random(arguments.seed))
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
