"""Puts a GPU worker together: engine, device row, planner-driven intake, model calls."""

from collections.abc import Callable
from typing import Any, Final

import psycopg

from lmx.engine import Engine, EngineError, device_info
from lmx.workers.gpu.device import DeviceRow
from lmx.workers.gpu.embed import Embed
from lmx.workers.gpu.generate import Generate
from lmx.workers.gpu.heap import give_back_large_blocks
from lmx.workers.gpu.intake import GpuIntake
from lmx.workers.gpu.models import LocalModels
from lmx.workers.gpu.nvml import Nvml
from lmx.workers.gpu.sessions import HeldSessions
from lmx.workers.gpu.watch import PERIOD_S, DeviceWatch, Reader
from lmx.workers.intake import Intake
from lmx.workers.process import WorkerProcess
from lmx.workflows.config import DETERMINISM_FILE, Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import ConfigError
from lmx.workflows.names import EMBED, GENERATE, GPU

#: Of one context; what more slots claim waits in the engine.
_MOST_SEQUENCES: Final = 64


class GpuWorker:
    """The parts of a GPU worker that its intake and its calls share."""

    def __init__(
        self, settings: Settings, database: Database, slots: int, reader: Reader | None = None
    ) -> None:
        self.engine = _open_engine(settings, slots)
        self._pool = HotPool(database)
        self.models = LocalModels(self._pool, self._freed)
        self._intake: GpuIntake | None = None
        with self._pool.borrow() as conn:
            self.device = DeviceRow.register(conn, self.engine)
        self.models.refresh()
        self.sessions = HeldSessions()
        self.sessions.found(self.engine.snapshot())
        self.watch = DeviceWatch(
            self.engine,
            self.device,
            database,
            reader or Nvml(device_info(settings.device).pci_bus_id),
            worker_id=lambda: self.process.worker_id,
            pending=lambda: self._intake.pending() if self._intake else {},
            freed=self._freed,
            sessions=self.sessions.names,
            period_s=min(PERIOD_S, settings.heartbeat_s),
        )
        generate = Generate(
            self.engine, self.models, self._started, self._freed, self.sessions.used
        )
        embed = Embed(self.engine, self.models, self._started, self._freed)
        self.process = WorkerProcess(
            settings,
            database,
            GPU,
            slots,
            bodies={GENERATE: generate, EMBED: embed},
            intake=self._make_intake,
            on_beat=self._refresh,
            on_stop=self._close,
        )

    def _make_intake(self, queue: str, prefetch: int, worker_id: Callable[[], int]) -> Intake:
        intake = GpuIntake(queue, prefetch, worker_id)
        intake.engine, intake.device, intake.models = self.engine, self.device, self.models
        self._intake = intake
        return intake

    def _started(self, task_id: int) -> float:
        self.watch.look_soon()
        return self._intake.started(task_id) if self._intake else 0.0

    def _freed(self) -> None:
        """Something may fit now that did not, or may be claimed that was not known."""
        if self._intake is not None:
            self.process.committer.hint(GPU)

    def _refresh(self, _: psycopg.Connection[Any]) -> None:
        self.models.refresh()
        self.watch.start()

    def _close(self) -> None:
        self.watch.stop()
        self.engine.close()
        self._pool.close()


def gpu_process(settings: Settings, database: Database, slots: int) -> WorkerProcess:
    """A worker process that serves model calls on the configured device.

    Raises ConfigError for a device that is not there.
    """
    give_back_large_blocks()
    return GpuWorker(settings, database, slots).process


def _open_engine(settings: Settings, slots: int) -> Engine:
    try:
        return Engine(
            device=settings.device,
            cap_bytes=settings.vram_cap,
            max_slots=min(slots, _MOST_SEQUENCES),
            host_bytes=settings.kv_ram,
            spill_dir=settings.home / "sessions" if settings.kv_disk else None,
            spill_bytes=settings.kv_disk,
            determinism_file=settings.home / DETERMINISM_FILE,
            streaming=settings.streaming,
        )
    except EngineError as error:
        raise ConfigError(
            f"the device {settings.device!r} cannot be used: {error}",
            hint="look at LMX_DEVICE (cpu, auto, or a device such as cuda:0) and LMX_VRAM_CAP",
        ) from None
