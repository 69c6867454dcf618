"""DBOS Transact: durable workflows. Tuned: a queue poll of 10 ms and wider pools.

Its queues run unlimited: with `worker_concurrency` at the number of slots it drained half as fast.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable

from benchmarks.adapters.base import (
    CHILDREN,
    DURABLE_WORKLOADS,
    SLOTS,
    STEPS,
    Adapter,
    child_slot,
)

_QUEUE = "bench"
_CHILD_QUEUE = "bench_children"


class DbosWorkflows(Adapter):
    """Workflows of DBOS on its queues; children are enqueued and awaited by their handles."""

    workloads = DURABLE_WORKLOADS
    unfinished_sql = "SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS'"

    def install(self) -> None:
        self._launch()
        from dbos import DBOS

        DBOS.destroy()

    def open(self) -> None:
        from dbos import DBOSClient

        self._client = DBOSClient(system_database_url=self._url)

    def close(self) -> None:
        self._client.destroy()

    def enqueue(self, kind: str, number: int) -> None:
        self._client.enqueue({"queue_name": _QUEUE, "workflow_name": kind}, number)

    def enqueue_batch(self, kind: str, numbers: Iterable[int]) -> None:
        options = {"queue_name": _QUEUE, "workflow_name": kind}
        with self._client._sys_db.engine.begin() as connection:
            for number in numbers:
                self._client.enqueue_in_transaction(connection, options, number)

    def run_worker(self) -> None:
        self._launch()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        stop.wait()
        from dbos import DBOS

        DBOS.destroy(workflow_completion_timeout_sec=0)

    @property
    def _url(self) -> str:
        return self.dsn.replace("postgresql://", "postgresql+psycopg://")

    def _launch(self) -> None:
        from dbos import DBOS

        config: dict[str, object] = {
            "name": "bench",
            "system_database_url": self._url,
            "application_version": "1",
            "executor_id": "bench",
            "log_level": "ERROR",
        }
        if self.tuned:
            config |= {"sys_db_pool_size": SLOTS * 2, "notification_coalesce_sec": 0.001}
        DBOS(config=config)
        self._declare()
        DBOS.launch()
        options = {"polling_interval_sec": 0.01} if self.tuned else {}
        for queue in (_QUEUE, _CHILD_QUEUE):
            DBOS.register_queue(queue, **options)

    def _declare(self) -> None:
        from dbos import DBOS

        poll = {"polling_interval_sec": 0.01} if self.tuned else {}

        @DBOS.workflow(name="noop")
        def noop(number: int) -> None:
            self.noop(number)

        @DBOS.workflow(name="hold")
        def hold(number: int) -> None:
            self.hold(number)

        @DBOS.step(name="step")
        def step(number: int) -> int:
            return number

        @DBOS.workflow(name="steps")
        def steps(number: int) -> int:
            self.stamps.hit(number)
            return sum(step(k) for k in range(STEPS))

        @DBOS.workflow(name="tree")
        def tree(number: int) -> int:
            self.stamps.hit(number)
            handles = [
                DBOS.enqueue_workflow(_CHILD_QUEUE, noop, child_slot(number, child))
                for child in range(CHILDREN)
            ]
            for handle in handles:
                handle.get_result(**poll)
            return len(handles)


ADAPTER = DbosWorkflows
