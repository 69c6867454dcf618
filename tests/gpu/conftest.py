"""A GPU worker in this process, on the CPU, with real models and a small cap."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmx.engine import estimate, file_sha256
from lmx.workers.gpu.process import GpuWorker
from lmx.workers.gpu.watch import Reader
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.models import Model, Need, add_model
from tests.engine.conftest import larger_model, model

__all__ = ["larger_model", "model"]

N_CTX = 256
CALL: dict[str, Any] = {"max_tokens": 4, "temperature": 0.0, "seed": 1}


def register(database: Database, name: str, path: Path, **options: Any) -> Model:
    """Register a model file with its measured need."""
    need = estimate(path, n_ctx=N_CTX)
    row = Model(
        name,
        str(path),
        file_sha256(path),
        path.stat().st_size,
        N_CTX,
        needs={N_CTX: Need(need.weights_bytes, need.kv_bytes, need.compute_bytes)},
        **options,
    )
    with database.connect() as conn:
        return add_model(conn, row)


@pytest.fixture
def small(database: Database, model: Path) -> Model:
    """The shipped model, at a price."""
    return register(database, "small", model, price_in=1_000_000, price_out=2_000_000)


@pytest.fixture
def large(database: Database, larger_model: Path) -> Model:
    """The same network in more bytes."""
    return register(database, "large", larger_model)


class StartWorker:
    """Starts GPU workers whose cap is the given number of bytes, and stops them."""

    def __init__(self, database: Database, home: Path) -> None:
        self._database = database
        self._home = home
        self._started: list[GpuWorker] = []

    def __call__(self, cap: int, reader: Reader | None = None) -> GpuWorker:
        settings = Settings(home=self._home, device="cpu", vram_cap=cap, heartbeat_s=0.2)
        worker = GpuWorker(settings, self._database, 4, reader)
        worker.process.start()
        self._started.append(worker)
        return worker

    def stop(self, worker: GpuWorker) -> None:
        """Stop one of them."""
        self._started.remove(worker)
        worker.process.stop()

    def stop_all(self) -> None:
        """Stop those that still run."""
        while self._started:
            self.stop(self._started[-1])


@pytest.fixture
def start_worker(database: Database, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts GPU workers that are stopped after the test."""
    starter = StartWorker(database, tmp_path)
    yield starter
    starter.stop_all()
