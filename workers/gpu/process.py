"""Puts a GPU worker together: engine, device row, planner-driven intake, model calls."""

from collections.abc import Callable
from typing import Any

import psycopg

from lmx.engine import Engine, EngineError
from lmx.workers.gpu.device import DeviceRow
from lmx.workers.gpu.generate import Generate
from lmx.workers.gpu.intake import GpuIntake
from lmx.workers.gpu.models import LocalModels
from lmx.workers.gpu.sessions import HeldSessions
from lmx.workers.intake import Intake
from lmx.workers.process import WorkerProcess
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import ConfigError
from lmx.workflows.names import GENERATE, GPU


class GpuWorker:
    """The parts of a GPU worker that its intake and its calls share."""

    def __init__(self, settings: Settings, database: Database, slots: int) -> None:
        self.engine = _open_engine(settings, slots)
        self._pool = HotPool(database)
        self.models = LocalModels(self._pool, self._freed)
        self._intake: GpuIntake | None = None
        with self._pool.borrow() as conn:
            self.device = DeviceRow.register(conn, self.engine)
        self.models.refresh()
        self.sessions = HeldSessions()
        self.sessions.found(self.engine.snapshot())
        generate = Generate(
            self.engine, self.models, self._started, self._freed, self.sessions.used
        )
        self.process = WorkerProcess(
            settings,
            database,
            GPU,
            slots,
            bodies={GENERATE: generate},
            intake=self._make_intake,
            on_beat=self._sync,
            on_stop=self._close,
        )

    def _make_intake(self, queue: str, prefetch: int, worker_id: Callable[[], int]) -> Intake:
        intake = GpuIntake(queue, prefetch, worker_id)
        intake.engine, intake.device, intake.models = self.engine, self.device, self.models
        self._intake = intake
        return intake

    def _started(self, task_id: int) -> float:
        return self._intake.started(task_id) if self._intake else 0.0

    def _freed(self) -> None:
        """Something may fit now that did not, or may be claimed that was not known."""
        if self._intake is not None:
            self.process.committer.hint(GPU)

    def _sync(self, conn: psycopg.Connection[Any]) -> None:
        self.models.refresh()
        pending = self._intake.pending() if self._intake else ()
        self.device.sync(conn, self.engine, self.process.worker_id, pending, self.sessions.names())

    def _close(self) -> None:
        self.engine.close()
        self._pool.close()


def gpu_process(settings: Settings, database: Database, slots: int) -> WorkerProcess:
    """A worker process that serves model calls on the configured device.

    Raises ConfigError for a device that is not there.
    """
    return GpuWorker(settings, database, slots).process


def _open_engine(settings: Settings, slots: int) -> Engine:
    try:
        return Engine(device=settings.device, cap_bytes=settings.vram_cap, max_slots=slots)
    except EngineError as error:
        raise ConfigError(
            f"the device {settings.device!r} cannot be used: {error}",
            hint="set LMX_DEVICE to cpu, auto or a device such as cuda:0",
        ) from None
