"""The world of one soak: models, cap, folders. Written once, read by every process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmx.engine import estimate, least_streamed
from tests.soak.questions import Question, make_questions

MIB = 2**20


@dataclass(frozen=True)
class World:
    """The models of one engine and the room it gets: too little for all of them.

    ``models`` fit one at a time; ``large`` fits only streamed.
    """

    name: str
    models: list[str]
    large: str | None
    cap: int
    host_bytes: int
    spill_bytes: int

    @property
    def all_models(self) -> list[str]:
        return [*self.models, *([self.large] if self.large else [])]

    def questions(self, seed: int) -> list[Question]:
        return make_questions([Path(model) for model in self.all_models], seed)

    def engine(self, spill_dir: Path) -> dict[str, Any]:
        """Options of an engine under test."""
        return {
            "cap_bytes": self.cap,
            "max_slots": 4,
            "patience_s": 0.5,
            "quantum_s": 0.2,
            "host_bytes": self.host_bytes,
            "spill_dir": spill_dir,
            "spill_bytes": self.spill_bytes,
        }


@dataclass(frozen=True)
class Setup:
    """Everything that the processes of one soak share."""

    seed: int
    folder: str
    clients: int
    worlds: list[World]

    @property
    def answers_file(self) -> Path:
        return Path(self.folder) / "answers.json"

    def spill_dir(self, world: World) -> Path:
        return Path(self.folder) / f"spill-{world.name}"

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Setup:
        read = json.loads(path.read_text())
        return cls(**{**read, "worlds": [World(**world) for world in read["worlds"]]})


def make_world(name: str, models: list[Path], large: Path | None) -> World:
    """Room for the largest of the models and half of the next, or for the large one with about half
    of its layers; for one whole context in host memory, and for two on disk."""
    needs = sorted(estimate(model, n_ctx=1024).total_bytes for model in models)
    cap = needs[-1] + needs[-2] // 2
    master = 0
    if large:
        whole, least = estimate(large, n_ctx=1024), least_streamed(large, n_ctx=1024)
        assert least is not None, f"{large.name} cannot be streamed"
        master = whole.weights_bytes
        cap = max(cap, (least + whole.total_bytes) // 2)
        assert cap < whole.total_bytes, f"{large.name} is not too large for a cap of {cap}"
    kv = max(estimate(model, n_ctx=1024).kv_bytes for model in models)
    return World(
        name=name,
        models=[str(model) for model in models],
        large=str(large) if large else None,
        cap=cap,
        host_bytes=kv + master,
        spill_bytes=2 * kv,
    )
