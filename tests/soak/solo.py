"""The answers of an engine that does nothing else: `python -m tests.soak.solo SETUP.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lmx.engine import Engine
from tests.soak.features import SUBMIT, supported
from tests.soak.setup import Setup


def main() -> None:
    setup = Setup.load(Path(sys.argv[1]))
    answers = {}
    for question in setup.questions():
        options = supported(SUBMIT, mode="deterministic")
        with Engine(device="cpu", threads=1, **setup.engine_of_one()) as engine:
            answers[question.name] = question.ask(engine, **options)
        print(f"  {question.name}: {question.model.stem}", flush=True)
    setup.answers_file.write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
