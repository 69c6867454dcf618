"""Absurd: durable tasks as stored procedures. Tuned: a poll of 10 ms, parents woken by events."""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import signal
import threading
from typing import Any

import psycopg

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


class AbsurdTasks(Adapter):
    """Tasks of Absurd, run by its threaded worker.

    A parent may wait for its children with `await_task_result` (the documented way, which holds the
    slot, polls, and needs a second queue) or suspend on an event that each child emits (tuned).
    """

    workloads = DURABLE_WORKLOADS
    unfinished_sql = (
        "SELECT (SELECT count(*) FROM absurd.t_bench WHERE state <> 'completed')"
        " + (SELECT count(*) FROM absurd.t_bench_children WHERE state <> 'completed')"
    )

    def install(self) -> None:
        from absurdctl import BUNDLED_SCHEMA_SQL

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(BUNDLED_SCHEMA_SQL)
        self.open()
        for queue in (_QUEUE, _CHILD_QUEUE):
            self._app.create_queue(queue)
        self.close()

    def open(self) -> None:
        from absurd_sdk import Absurd

        self._app = Absurd(self.dsn, queue_name=_QUEUE)

    def close(self) -> None:
        self._app.close()

    def enqueue(self, kind: str, number: int) -> None:
        self._app.spawn(kind, {"number": number}, queue=_QUEUE)

    def run_worker(self) -> None:
        self.open()
        self._declare(self._app)
        options = {"poll_interval": 0.01} if self.tuned else {}
        signal.signal(signal.SIGTERM, lambda *_: self._app.stop_worker())
        if not self.tuned:
            self._run_child_worker()
        self._app.start_worker(concurrency=SLOTS, **options)

    def _run_child_worker(self) -> None:
        from absurd_sdk import Absurd

        app = Absurd(self.dsn, queue_name=_CHILD_QUEUE)

        @app.register_task(name="leaf")
        def leaf(params: dict[str, int], _ctx: object) -> None:
            self.noop(params["number"])

        run = threading.Thread(target=app.start_worker, kwargs={"concurrency": SLOTS}, daemon=True)
        run.start()

    def _declare(self, app: Any) -> None:
        @app.register_task(name="noop")
        def noop(params: dict[str, int], _ctx: object) -> None:
            self.noop(params["number"])

        @app.register_task(name="hold")
        def hold(params: dict[str, int], _ctx: object) -> None:
            self.hold(params["number"])

        @app.register_task(name="steps")
        def steps(params: dict[str, int], ctx: Any) -> int:
            self.stamps.hit(params["number"])
            return sum(ctx.step(f"step-{k}", lambda k=k: k) for k in range(STEPS))

        if not self.tuned:
            app.register_task(name="tree")(self._tree_by_results)
            return

        @app.register_task(name="leaf")
        def leaf(params: dict[str, Any], ctx: Any) -> None:
            self.noop(params["number"])
            ctx.emit_event(f"{params['parent']}:{params['child']}", params["child"])

        app.register_task(name="tree")(self._tree_by_events)

    def _tree_by_events(self, params: dict[str, Any], ctx: Any) -> int:
        number = params["number"]
        self.stamps.hit(number)
        for child in range(CHILDREN):
            arguments = {
                "number": child_slot(number, child),
                "child": child,
                "parent": str(ctx.task_id),
            }
            ctx.step(
                f"spawn-{child}", lambda a=arguments: str(self._app.spawn("leaf", a)["task_id"])
            )
        return sum(ctx.await_event(f"{ctx.task_id}:{child}") for child in range(CHILDREN))

    def _tree_by_results(self, params: dict[str, Any], ctx: Any) -> int:
        number = params["number"]
        self.stamps.hit(number)
        spawned = [
            ctx.step(f"spawn-{child}", lambda c=child: self._spawn_leaf(number, c))
            for child in range(CHILDREN)
        ]
        for task_id in spawned:
            ctx.await_task_result(task_id, queue_name=_CHILD_QUEUE)
        return len(spawned)

    def _spawn_leaf(self, number: int, child: int) -> str:
        arguments = {"number": child_slot(number, child)}
        return str(self._app.spawn("leaf", arguments, queue=_CHILD_QUEUE)["task_id"])


ADAPTER = AbsurdTasks
