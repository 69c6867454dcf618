"""Waiting for tasks to finish: any number of waiters share one listening connection.

A NOTIFY on `lmx:done` is only a hint (R8): it says that something finished, not what, and may be
lost. So every hint, and at the latest every `poll_s` seconds, one query asks for all the tasks
that somebody waits for.
"""

import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import BigInteger

from lmx.workflows.alarm import Alarm
from lmx.workflows.database.connect import Database, create_engine_from
from lmx.workflows.database.tables import tasks
from lmx.workflows.errors import LmxError, TimedOut
from lmx.workflows.views.tasks import TaskView, fetch_tasks, no_such_task

log = logging.getLogger("lmx.waiting")

#: A lost NOTIFY costs at most this long, in seconds.
POLL_S: Final = 1.0
_LINGER_S: Final = 5.0
_RECONNECT_S: Final = 0.5

Future = concurrent.futures.Future[TaskView]


class Waiter:
    """Waits for tasks of one database on behalf of many threads or coroutines.

    Its thread, connection and alarm exist only while somebody waits, and a few seconds longer.
    """

    def __init__(
        self, database: Database, *, poll_s: float = POLL_S, linger_s: float = _LINGER_S
    ) -> None:
        self._database = database
        self._poll_s = poll_s
        self._linger_s = linger_s
        self._alarm: Alarm | None = None
        self._lock = threading.Lock()
        self._futures: dict[int, list[Future]] = {}
        self._unseen: set[int] = set()
        self._thread: threading.Thread | None = None
        self._next_look = 0.0

    def watch(self, task_id: int) -> Future:
        """Return a future of the finished task; cancel it to stop watching.

        It fails with NotFound if there is no such task. For a coroutine: `asyncio.wrap_future`.
        """
        future = Future()
        with self._lock:
            self._futures.setdefault(task_id, []).append(future)
            self._unseen.add(task_id)
            self._running_alarm().ring()
        return future

    def wait(self, task_id: int, timeout: float | None = None) -> TaskView:
        """Return the task once it has finished. Raises TimedOut after `timeout` s, NotFound."""
        future = self.watch(task_id)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            raise TimedOut(
                f"task {task_id} has not finished within {timeout:g} s",
                hint=f"it goes on; wait again with: lmx wait {task_id}",
            ) from None
        finally:
            future.cancel()

    def _running_alarm(self) -> Alarm:
        """Return the alarm of the thread, which is started if there is none."""
        if self._thread is None or self._alarm is None or not self._thread.is_alive():
            alarm = self._alarm = Alarm()
            self._thread = threading.Thread(
                target=self._run, args=(alarm,), name="lmx-waiter", daemon=True
            )
            self._thread.start()
        return self._alarm

    def _run(self, alarm: Alarm) -> None:
        while True:
            try:
                with self._listening() as connection:
                    self._serve(connection, alarm)
                    return
            except (psycopg.Error, SQLAlchemyError, LmxError) as error:
                log.warning("waiting is interrupted (%s); reconnecting", _line(error))
                if self._leave():
                    return
                sleep(_RECONNECT_S)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[Connection]:
        engine = create_engine_from(self._database, poolclass=NullPool)
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            _driver(connection).execute('LISTEN "lmx:done"')
            yield connection

    def _serve(self, connection: Connection, alarm: Alarm) -> None:
        """Answer waiters until none has been there for a while."""
        driver = _driver(connection)
        with self._lock:
            self._unseen.update(self._futures)
        idle_since = monotonic()
        while True:
            self._look(connection)
            if self._futures:
                idle_since = monotonic()
            elif monotonic() - idle_since >= self._linger_s and self._leave():
                return
            alarm.sleep(driver, self._poll_s)
            for _ in driver.notifies(timeout=0):
                pass
            # Under a hail of hints, spend no more than half of the time on looking.
            sleep(max(0.0, self._next_look - monotonic()))

    def _leave(self) -> bool:
        """Give up the thread unless somebody waits."""
        with self._lock:
            self._drop_cancelled()
            if self._futures:
                return False
            if self._alarm is not None:
                self._alarm.close()
            self._thread = self._alarm = None
            return True

    def _look(self, connection: Connection) -> None:
        began = monotonic()
        with self._lock:
            self._drop_cancelled()
            ids = list(self._futures)
            unseen, self._unseen = self._unseen & self._futures.keys(), set()
        if not ids:
            return
        try:
            finished = select(tasks.c.id).where(_is_one_of(ids), tasks.c.finished_at.is_not(None))
            for view in fetch_tasks(connection, connection.execute(finished).scalars().all()):
                self._resolve(view.id, view)
            if unseen:
                exists = select(tasks.c.id).where(_is_one_of(list(unseen)))
                for task_id in unseen.difference(connection.execute(exists).scalars()):
                    self._resolve(task_id, no_such_task(connection, task_id))
        except BaseException:
            self._unseen.update(unseen)
            raise
        now = monotonic()
        self._next_look = now + min(0.1, now - began)

    def _resolve(self, task_id: int, outcome: TaskView | LmxError) -> None:
        with self._lock:
            futures = self._futures.pop(task_id, [])
        for future in futures:
            if future.set_running_or_notify_cancel():
                if isinstance(outcome, LmxError):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def _drop_cancelled(self) -> None:
        for task_id, futures in list(self._futures.items()):
            left = [future for future in futures if not future.cancelled()]
            if left:
                self._futures[task_id] = left
            else:
                del self._futures[task_id]


def _is_one_of(ids: list[int]) -> Any:
    return tasks.c.id == any_(literal(ids, ARRAY(BigInteger)))


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())


_waiters: dict[Database, Waiter] = {}
_waiters_lock = threading.Lock()


def waiter_for(database: Database) -> Waiter:
    """Return the waiter that this whole process shares for a database."""
    with _waiters_lock:
        return _waiters.setdefault(database, Waiter(database))


def wait_for_task(database: Database, task_id: int, timeout: float | None = None) -> TaskView:
    """Return a task once it has finished, whatever its final state.

    Raises TimedOut after `timeout` seconds (None: wait for ever), NotFound for an unknown id.
    """
    return waiter_for(database).wait(task_id, timeout)
