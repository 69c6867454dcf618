"""The world of one soak: models, cap, folders. Written once, read by every process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmx.engine import estimate
from tests.soak.features import ENGINE, supported
from tests.soak.questions import Question, make_questions

MIB = 2**20


@dataclass(frozen=True)
class Setup:
    """``models`` all fit the cap one at a time, ``large`` (if any) only streamed."""

    seed: int
    folder: str
    models: list[str]
    large: str | None
    cap: int
    host_bytes: int
    spill_bytes: int
    clients: int

    @property
    def spill_dir(self) -> Path:
        return Path(self.folder) / "spill"

    @property
    def answers_file(self) -> Path:
        return Path(self.folder) / "answers.json"

    def questions(self) -> list[Question]:
        models = [*self.models, *([self.large] if self.large else [])]
        return make_questions([Path(model) for model in models], self.seed)

    def engine(self) -> dict[str, Any]:
        """Options of the engine under test."""
        return {
            "cap_bytes": self.cap,
            "max_slots": 4,
            "patience_s": 0.5,
            **supported(
                ENGINE,
                host_bytes=self.host_bytes,
                spill_dir=self.spill_dir,
                spill_bytes=self.spill_bytes,
            ),
        }

    def engine_of_one(self) -> dict[str, Any]:
        """Of an engine with room for everything, that keeps nothing."""
        return {"max_slots": 1}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Setup:
        return cls(**json.loads(path.read_text()))


def make_setup(seed: int, folder: Path, models: list[Path], large: Path, clients: int = 6) -> Setup:
    """A cap for one and a half models; host memory and disk for a few conversations each."""
    needs = [estimate(model, n_ctx=1024).total_bytes for model in models]
    cap = max(sum(needs) * 3 // (2 * len(needs)), max(needs) + MIB)
    streams = "streaming" in ENGINE
    weights = estimate(large, n_ctx=1024).weights_bytes
    return Setup(
        seed=seed,
        folder=str(folder),
        models=[str(model) for model in models],
        large=str(large) if streams else None,
        cap=cap,
        host_bytes=48 * MIB + (weights if streams else 0),
        spill_bytes=64 * MIB,
        clients=clients,
    )
