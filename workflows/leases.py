"""The lease of a worker process: registration, heartbeat, and news of cancelled tasks.

One row in lmx.workers stands for the process, and prolonging it prolongs the leases of all tasks
that the process holds. The same thread hears of cancelled tasks, sweeps after dead workers and
ends what is past its deadline.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import psycopg

from lmx.workflows.alarm import Alarm
from lmx.workflows.control.deadlines import expire_deadlines
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import LmxError
from lmx.workflows.host import identity
from lmx.workflows.routing.rerouting import reroute_due
from lmx.workflows.sql import statement
from lmx.workflows.sweep import MAX_DELIVERIES, sweep

log = logging.getLogger("lmx.leases")


@dataclass(slots=True)
class Registration:
    """Registers this process as a worker and keeps its lease alive until `stop`.

    `on_cancelled` receives ids of tasks that this process may hold and should stop. `on_beat` runs
    after each heartbeat with the heartbeat's connection. `on_lost` runs when others have declared
    this worker dead: every lease it held is void, and `worker_id` is a new one.
    """

    database: Database
    name: str
    queues: tuple[str, ...]
    lease_s: float = 10.0
    heartbeat_s: float = 3.0
    max_deliveries: int = MAX_DELIVERIES
    on_cancelled: Callable[[Iterable[int]], None] | None = None
    on_beat: Callable[[psycopg.Connection[Any]], None] | None = None
    on_lost: Callable[[], None] | None = None
    worker_id: int = 0
    _alarm: Alarm = field(default_factory=Alarm)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _away: bool = False
    _late: bool = False
    _thread: threading.Thread | None = None
    _conn: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """Register, sweep what an earlier process of this host left, and start the heartbeat."""
        self._conn = self._connect()
        self._register(self._conn)
        sweep(self._conn, self.max_deliveries)
        self._thread = threading.Thread(target=self._loop, name="lmx-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeat and sign off; tasks still held go back to their queues."""
        self._stopping.set()
        self._alarm.ring()
        if self._thread is not None:
            self._thread.join(timeout=self.heartbeat_s + 5)
        self._sign_off()
        if self._thread is None or not self._thread.is_alive():
            self._alarm.close()

    def _sign_off(self) -> None:
        with contextlib.suppress(psycopg.Error, LmxError):
            conn = self._conn if self._conn and not self._conn.closed else self._connect()
            conn.execute(
                "UPDATE lmx.workers SET stopped_at = clock_timestamp() WHERE id = %s",
                [self.worker_id],
            )
            sweep(conn, self.max_deliveries)
            conn.close()

    def _connect(self) -> psycopg.Connection[Any]:
        conn = self.database.connect_hot(application_name=f"lmx {self.name} heartbeat")
        conn.execute('LISTEN "lmx:cancel"')
        return conn

    def _register(self, conn: psycopg.Connection[Any]) -> None:
        me = identity()
        row = conn.execute(
            "INSERT INTO lmx.workers (name, queues, host, boot_id, pid, pid_started, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
            " RETURNING id",
            [
                self.name,
                list(self.queues),
                me.host,
                me.boot_id,
                me.pid,
                me.pid_started,
                self.lease_s,
            ],
        ).fetchone()
        assert row is not None
        self.worker_id = row[0]

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._conn is None or self._conn.closed:
                    self._conn = self._connect()
                self._beat(self._conn)
                self._away = False
                self._listen(self._conn)
            except (psycopg.Error, LmxError) as error:
                if not self._away:  # told once per outage
                    self._away = True
                    reason = " ".join(str(error).split())
                    log.warning("heartbeat failed (%s); trying again", reason)
                self._pause()
            except Exception:  # without a heartbeat this worker would be taken for dead
                log.exception("defect in the heartbeat; trying again")
                self._pause()

    def _pause(self) -> None:
        if self._conn is not None:
            self._conn.close()
        self._stopping.wait(min(1.0, self.heartbeat_s))

    def _beat(self, conn: psycopg.Connection[Any]) -> None:
        row = {"worker": self.worker_id, "lease": self.lease_s}
        beat = conn.execute(statement("heartbeat"), row, prepare=True).fetchone()
        if beat is None:
            log.warning("worker %s was declared dead; registering anew", self.worker_id)
            self._register(conn)
            if self.on_lost is not None:
                self.on_lost()
        # If even this worker's lease had run out, time has jumped (a laptop slept, a clock was
        # set): the others may live as well as this one, and get one beat's time to say so.
        late = beat is not None and bool(beat[0])
        sweep(conn, self.max_deliveries, expired=not late or self._late)
        self._late = late
        expire_deadlines(conn)
        reroute_due(conn)
        if self.on_beat is not None:
            self.on_beat(conn)

    def _listen(self, conn: psycopg.Connection[Any]) -> None:
        """Wait until the next heartbeat, passing on cancellations as they come."""
        until = monotonic() + self.heartbeat_s
        while not self._stopping.is_set() and (left := until - monotonic()) > 0:
            self._alarm.sleep(conn, left)
            for notice in conn.notifies(timeout=0):
                if self.on_cancelled is not None:
                    self.on_cancelled([int(text) for text in notice.payload.split(",") if text])
