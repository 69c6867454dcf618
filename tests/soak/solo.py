"""The answers of an engine that does nothing else: `python -m tests.soak.solo SETUP.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lmx.engine import Engine
from tests.soak.setup import Setup


def main() -> None:
    setup = Setup.load(Path(sys.argv[1]))
    answers = {}
    for world in setup.worlds:
        for question in world.questions(setup.seed):
            with Engine(device="cpu", threads=1, max_slots=1) as engine:
                answers[f"{world.name} {question.name}"] = question.ask(
                    engine, mode="deterministic"
                )
        print(f"  {world.name}: {len(answers)} questions so far", flush=True)
    setup.answers_file.write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
