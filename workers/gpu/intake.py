"""Claims model calls by asking the planner: in one transaction lock, plan, lease and book."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

import psycopg

from lmx.engine import Engine, EngineError, Wanted
from lmx.engine import Fit as EngineFit
from lmx.workers.gpu.choice import Choice, choose
from lmx.workers.gpu.device import DeviceRow
from lmx.workers.gpu.models import LocalModels
from lmx.workers.intake import Intake
from lmx.workflows.holds import holds_on, lock_device
from lmx.workflows.lease import Lease
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

#: How many waiting calls the planner looks at.
CANDIDATES: Final = 64

#: Seconds after which a call that waits for memory is not overtaken any more.
PATIENCE_S: Final = 10.0

#: Seconds for which a new call is left to another device that holds its session.
SESSION_PATIENCE_S: Final = 2.0


class GpuIntake(Intake):
    """The intake of a GPU worker. `bind` gives it what it plans with before it is used."""

    engine: Engine
    device: DeviceRow
    models: LocalModels

    def __init__(self, queue: str, prefetch: int, worker_id: Callable[[], int]) -> None:
        super().__init__(queue, prefetch, worker_id)
        self._since: dict[int, float] = {}
        self._pending: dict[int, Wanted] = {}

    def claim(self, conn: psycopg.Connection[Any], slots: int) -> Callable[[], list[Lease]]:
        """Claim what fits on the device now; what does not stays in the queue."""
        rows = conn.execute(
            statement("gpu_candidates"),
            {
                "queue": self.queue,
                "limit": CANDIDATES,
                "device": self.device.id,
                "alone": self.device.alone,
                "patience": SESSION_PATIENCE_S,
            },
            prepare=True,
        ).fetchall()
        if not rows:
            return list
        lock_device(conn, self.device.id)
        self.device.honour(self.engine, holds_on(conn, self.device.id))
        choice = self._choose(rows, slots)
        self._note_waits(conn, choice)
        if not choice.claim:
            return list
        read = self._claim_chosen(conn, list(choice.claim))
        self.device.book(conn, self.engine, self._pending, self._worker_id())
        return read

    def started(self, task_id: int) -> float:
        """The engine has taken this call over; returns the seconds it waited for memory here."""
        self._pending.pop(task_id, None)
        since = self._since.pop(task_id, None)
        return 0.0 if since is None else monotonic() - since

    def pending(self) -> dict[int, Wanted]:
        """What the calls want that are claimed and that the engine does not know yet, by task."""
        return dict(self._pending)

    def take(self, leases: list[Lease]) -> None:
        """Buffer leases; forget the plans for calls that were not claimed after all."""
        claimed = {lease.task_id for lease in leases} | set(self._held)
        self._pending = {task: job for task, job in self._pending.items() if task in claimed}
        super().take(leases)

    def _choose(
        self, rows: Sequence[tuple[int, str, int | None, str | None]], slots: int
    ) -> Choice:
        jobs: dict[int, Wanted] = {}
        fits: dict[int, EngineFit | None] = {}
        if any(self.models.find(name) is None for _, name, _, _ in rows):
            self.models.refresh()
        for task, name, n_ctx, kv_type in rows:
            model = self.models.find(name)
            if model is None or (self.device.alone and not self.models.is_here(model)):
                fits[task] = None
            elif self.models.is_checked(model):
                jobs[task] = Wanted(
                    str(task), model.path, n_ctx or model.n_ctx, kv_type or model.kv_type
                )
        fits.update(self._plan(jobs))
        choice = choose([row[0] for row in rows], fits, slots, self.device.larger_elsewhere)
        self._pending.update((task, jobs[task]) for task in choice.claim if task in jobs)
        return choice

    def _plan(self, jobs: dict[int, Wanted]) -> dict[int, EngineFit | None]:
        """Ask the planner about `jobs`, after those that were claimed and not yet begun.

        None is a call whose file or context cannot be used.
        """
        ahead = list(self._pending.values())
        now = monotonic()
        aged = {str(task) for task, since in self._since.items() if now - since > PATIENCE_S}
        answers = self.engine.plan([*ahead, *jobs.values()], aged=aged)[len(ahead) :]
        return {
            task: None if isinstance(answer, EngineError) else answer
            for task, answer in zip(jobs, answers, strict=True)
        }

    def _note_waits(self, conn: psycopg.Connection[Any], choice: Choice) -> None:
        """Write down, once per call, that it waits for memory, with the three numbers."""
        news = {task: fit for task, fit in choice.waiting.items() if task not in self._since}
        self._since.update(dict.fromkeys(news, monotonic()))
        if news:
            events = [
                {
                    "id": task,
                    "kind": "waiting_for_memory",
                    # What is missing of it: weights that are resident are shared.
                    "data": {"needs": fit.missing, "cap": fit.cap, "free": fit.free},
                }
                for task, fit in news.items()
            ]
            conn.execute(statement("events"), {"ops": encode(events)}, prepare=True)
