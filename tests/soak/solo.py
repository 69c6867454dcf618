"""The answers of engines that do nothing else: `python -m tests.soak.solo SETUP.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lmx.engine import Engine, Request, Result
from tests.soak.setup import Setup


class Alone:
    """Submits each request to an engine of its own: nothing can be reused."""

    def submit(self, **options: Any) -> Request:
        self._engine = Engine(device="cpu", threads=1, max_slots=1)
        return self._engine.submit(**options)

    def read(self, request: Request) -> Result:
        with self._engine:
            return request.result()


def main() -> None:
    setup = Setup.load(Path(sys.argv[1]))
    answers = {}
    for world in setup.worlds:
        for question in world.questions(setup.seed):
            alone = Alone()
            found = question.ask(alone.submit, alone.read, mode="deterministic")
            answers[f"{world.name} {question.name}"] = found
        print(f"  {world.name}: {len(answers)} questions so far", flush=True)
    setup.answers_file.write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
