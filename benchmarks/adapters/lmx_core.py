"""lmx as it comes: its client, and its worker process with 16 slots serving one queue.

Coordinators and worker functions share the queue here, so that one process does all the work, as in
the other systems; `lmx up` gives each kind a process of its own. While tasks are short the worker
claims ahead of its slots by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from benchmarks.adapters.base import (
    CHILDREN,
    DURABLE_WORKLOADS,
    SLOTS,
    STEPS,
    Adapter,
    child_slot,
)
from lmx.workflows.client import Client
from lmx.workflows.coordinators import Context
from lmx.workflows.coordinators.handles import Child
from lmx.workflows.database.connect import Database
from lmx.workflows.database.migrate import upgrade
from lmx.workflows.names import COORDINATORS
from lmx.workflows.registry import coordinator, worker
from lmx.workflows.submission import call_input


class LmxCore(Adapter):
    """Worker functions for the queue's workloads, coordinators for the durable ones."""

    variants = ("single",)
    workloads = DURABLE_WORKLOADS | {"failover"}
    unfinished_sql = "SELECT count(*) FROM lmx.tasks WHERE state <> 'succeeded'"

    def install(self) -> None:
        upgrade(Database(self.dsn))

    def open(self) -> None:
        self._declare()
        self._client = Client(Database(self.dsn))

    def close(self) -> None:
        self._client.close()

    def enqueue(self, kind: str, number: int) -> None:
        if kind in ("steps", "tree"):
            self._client.submit(kind, number)
        else:
            self._client.enqueue(kind, args=(number,))

    def enqueue_batch(self, kind: str, numbers: Iterable[int]) -> None:
        if kind in ("steps", "tree"):
            super().enqueue_batch(kind, numbers)
        else:
            self._client.enqueue_many(kind, [call_input((number,), {}) for number in numbers])

    def run_worker(self) -> None:
        from lmx.workers.__main__ import main

        self._declare()
        os.environ["LMX_DATABASE_URL"] = self.dsn
        main([COORDINATORS, "--slots", str(SLOTS)])

    def _declare(self) -> None:
        worker(name="noop", queue=COORDINATORS)(self.noop)
        worker(name="hold", queue=COORDINATORS)(self.hold)

        @coordinator(name="steps")
        def steps(ctx: Context, number: int) -> int:
            self.stamps.hit(number)
            return sum(ctx.step(f"step-{k}", _same, k) for k in range(STEPS))

        @coordinator(name="tree")
        def tree(ctx: Context, number: int) -> int:
            self.stamps.hit(number)
            spawned: list[Child[None]] = [
                ctx.spawn("noop", child_slot(number, k)) for k in range(CHILDREN)
            ]
            return len(ctx.gather(*spawned))


def _same(number: int) -> int:
    return number


ADAPTER = LmxCore
