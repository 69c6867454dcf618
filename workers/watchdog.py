"""Enforces time limits and shows progress, from one thread per worker process."""

import logging
import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import psycopg

from lmx.workers.running import Running
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import LmxError
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

log = logging.getLogger("lmx.watchdog")

#: How often progress is written, and how late a time limit may be noticed, in seconds.
PERIOD_S: Final = 0.5


@dataclass(slots=True)
class Watchdog:
    """Looks after the running tasks until `stop`."""

    running: Running
    pool: HotPool
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _shown: dict[int, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._loop, name="lmx-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.wait(self._pause()):
            self.running.enforce_limits()
            try:
                self._show_progress()
            except (psycopg.Error, LmxError) as error:
                log.warning("progress was not written: %s", str(error).strip())
            except Exception:  # without this thread no time limit would be kept
                log.exception("defect in the watchdog")

    def _pause(self) -> float:
        limit = self.running.next_limit()
        return PERIOD_S if limit is None else max(0.01, min(PERIOD_S, limit - monotonic()))

    def _show_progress(self) -> None:
        tasks = self.running.progress()
        told = {task.task_id: encode(task.progress) for task in tasks}
        news = [task for task in tasks if self._shown.get(task.task_id) != told[task.task_id]]
        self._shown = told
        if news:
            rows = [
                {"id": task.task_id, "seq": task.lease.seq, "progress": task.progress}
                for task in news
            ]
            with self.pool.borrow() as conn:
                conn.execute(statement("progress"), {"ops": encode(rows)}, prepare=True)
