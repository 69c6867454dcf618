"""Enforces time limits and shows progress, from one thread per worker process."""

import logging
import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import orjson
import psycopg

from lmx.workers.running import Running
from lmx.workflows.current import CurrentTask
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import LmxError
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

log = logging.getLogger("lmx.watchdog")

#: How soon new progress is written, and how late a time limit may be noticed, in seconds.
PERIOD_S: Final = 0.5
#: What only grows of it, a task's tokens and its text, is written once in so many seconds.
GROWTH_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Shown:
    """What was last written of a task, when, and what of it does not only grow."""

    at: float
    text: str
    fixed: dict[str, Any]


@dataclass(slots=True)
class Watchdog:
    """Looks after the running tasks until `stop`."""

    running: Running
    pool: HotPool
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _shown: dict[tuple[int, int], _Shown] = field(default_factory=dict)

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
        tasks = {task.lease.token: task for task in self.running.progress()}
        shown = {token: self._look(task) for token, task in tasks.items()}
        rows = [
            {"id": token[0], "seq": token[1], "progress": orjson.Fragment(now.text)}
            for token, now in shown.items()
            if now is not self._shown.get(token)
        ]
        self._shown = shown
        if rows:
            with self.pool.borrow() as conn:
                conn.execute(statement("progress"), {"ops": encode(rows)}, prepare=True)

    def _look(self, task: CurrentTask) -> _Shown:
        """What is to be shown of a task: what was, unless it is time for something newer."""
        last, now = self._shown.get(task.lease.token), monotonic()
        fixed = {name: value for name, value in (task.progress or {}).items() if name != "tokens"}
        if last and last.fixed == fixed and now < last.at + GROWTH_S:
            return last
        text = encode(task.shown())
        return last if last and last.text == text else _Shown(now, text, fixed)
