"""Watches a device on a timer: what others take of it, what is held of it, what it does.

One thread with a connection of its own. Each turn reads NVML, brings the holds of the database and
those of the engine together, and writes down what is booked; a notification of a hold wakes it.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any, Final, Protocol

import psutil
import psycopg

from lmx.engine import Engine, Wanted
from lmx.workers.gpu.device import DeviceRow
from lmx.workers.gpu.nvml import Reading
from lmx.workers.gpu.sighting import sighting
from lmx.workflows.alarm import Alarm
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import LmxError
from lmx.workflows.holds import CHANNEL, Hold, grant, holds_on, lock_device, sweep_holds

log = logging.getLogger("lmx.device")

#: Seconds between two looks; while a hold waits for the engine, the shorter one.
PERIOD_S: Final = 1.0
_HURRY_S: Final = 0.05
#: Seconds after which even an idle device's row is written again.
_REPORT_S: Final = 3.0


class Reader(Protocol):
    """Looks at a GPU."""

    problem: str | None

    def read(self) -> Reading | None:
        """What is seen now."""

    def close(self) -> None:
        """Let go of the driver."""


@dataclass(slots=True)
class DeviceWatch:
    """Watches one device for its GPU worker until `stop`.

    `pending` is what the calls want that are claimed and that the engine does not know of yet, by
    task; `freed` is called when bytes have become free; `sessions` are those that the device holds.
    """

    engine: Engine
    device: DeviceRow
    database: Database
    reader: Reader
    worker_id: Callable[[], int]
    pending: Callable[[], Mapping[int, Wanted]]
    freed: Callable[[], None]
    sessions: Callable[[], Sequence[str]] = tuple
    period_s: float = PERIOD_S
    _alarm: Alarm = field(default_factory=Alarm)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _free: int = 0
    _reported: Any = None
    _report_due: float = 0.0
    _hold_waits: bool = False
    _away: bool = False

    def start(self) -> None:
        """Begin to watch, unless that has begun."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="lmx-device", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more, and forget what is booked: the engine is about to close."""
        self._stopping.set()
        self._alarm.ring()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._alarm.close()
        self.reader.close()
        with contextlib.suppress(psycopg.Error, LmxError), self._connect() as conn:
            self.device.clear(conn)

    def look_soon(self) -> None:
        """Something has changed: look now."""
        self._alarm.ring()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._connect() as conn:
                    conn.execute(f'LISTEN "{CHANNEL}"')
                    self._away = False
                    self._watch(conn)
            except (psycopg.Error, LmxError) as error:
                self._tell("the device cannot be watched (%s); trying again", error)
            except Exception:  # without it, no hold would ever be granted
                log.exception("defect in the watch of the device; trying again")
            self._stopping.wait(self.period_s)

    def _watch(self, conn: psycopg.Connection[Any]) -> None:
        while not self._stopping.is_set():
            self.turn(conn)
            self._alarm.sleep(conn, _HURRY_S if self._hold_waits else self.period_s)
            for _ in conn.notifies(timeout=0):
                pass

    def turn(self, conn: psycopg.Connection[Any]) -> None:
        """Look once, and write down what is seen."""
        reading = self.reader.read()
        with conn.transaction():
            lock_device(conn, self.device.id)
            sweep_holds(conn)
            holds = holds_on(conn, self.device.id)
            if granted := self.device.honour(self.engine, holds):
                grant(conn, granted)
            self._show(reading, holds)
            worker = self.worker_id()
            booked = self.device.book(conn, self.engine, self.pending(), worker)
            self._report(conn, reading, (booked, worker), worker)
        self._hold_waits = any(not hold.granted and hold.id not in granted for hold in holds)
        self._wake_if_freed()

    def _show(self, reading: Reading | None, holds: list[Hold]) -> None:
        """Tell the engine what others take."""
        kinds = self.engine.snapshot()["by_kind"]
        booked = sum(size for kind, size in kinds.items() if kind != "foreign")
        self.engine.see(*sighting(reading, holds, booked))

    def _report(
        self, conn: psycopg.Connection[Any], reading: Reading | None, key: Any, worker: int
    ) -> None:
        """Write the snapshot if it has news, or if the last one is old."""
        snapshot: dict[str, Any] = dict(self.engine.snapshot())
        snapshot["memory"] = _memory(snapshot["in_use"], reading)
        snapshot["gpu"] = None if reading is None else asdict(reading)
        snapshot["gpu_problem"] = self.reader.problem
        snapshot["sessions"] = list(self.sessions())
        news = (key, snapshot["totals"], snapshot["holds"], snapshot["sessions"])
        if news == self._reported and monotonic() < self._report_due:
            return
        self.device.report(conn, snapshot, worker)
        self._reported, self._report_due = news, monotonic() + _REPORT_S

    def _wake_if_freed(self) -> None:
        free = self.engine.snapshot()["free"]
        if free > self._free:
            self.freed()
        self._free = free

    def _connect(self) -> psycopg.Connection[Any]:
        return self.database.connect_hot(application_name="lmx device watch")

    def _tell(self, text: str, error: Exception) -> None:
        if not self._away and not self._stopping.is_set():  # told once per outage
            log.warning(text, " ".join(str(error).split()))
        self._away = True


def _memory(in_use: int | None, reading: Reading | None) -> dict[str, Any]:
    """What is in use by somebody else's count than the ledger's, and whose count that is."""
    if in_use is not None:
        return {"source": "driver", "used": in_use}
    if reading is not None and reading.used is not None:
        return {"source": "nvml", "used": reading.used}
    return {"source": "process", "used": psutil.Process().memory_info().rss}
