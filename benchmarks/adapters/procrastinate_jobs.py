"""Procrastinate: an asyncio job queue. Tuned: jobs deleted when done, a pool of all slots."""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from benchmarks.adapters.base import HANG_S, SLOTS, Adapter


class Procrastinate(Adapter):
    """Jobs of Procrastinate, deferred synchronously and run by its asyncio worker."""

    unfinished_sql = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'"

    def install(self) -> None:
        self.open()
        self._app.schema_manager.apply_schema()
        self.close()

    def open(self) -> None:
        from procrastinate import SyncPsycopgConnector

        self._app = self._declare(SyncPsycopgConnector(conninfo=self.dsn))
        self._app.open()

    def close(self) -> None:
        self._app.close()

    def enqueue(self, kind: str, number: int) -> None:
        self._app.tasks[kind].defer(number=number)

    def enqueue_batch(self, kind: str, numbers: Iterable[int]) -> None:
        self._app.tasks[kind].batch_defer(*({"number": number} for number in numbers))

    def run_worker(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        from procrastinate import PsycopgConnector

        pool = {"min_size": SLOTS + 2, "max_size": SLOTS + 2} if self.tuned else {}
        options = {"delete_jobs": "always"} if self.tuned else {}
        app = self._declare(PsycopgConnector(conninfo=self.dsn, **pool))
        async with app.open_async():
            await app.run_worker_async(concurrency=SLOTS, **options)

    def _declare(self, connector: Any) -> Any:
        import procrastinate

        app = procrastinate.App(connector=connector)

        @app.task(name="noop")
        async def noop(number: int) -> None:
            self.noop(number)

        @app.task(name="hold")
        async def hold(number: int) -> None:
            if self.hold_begins(number):
                await asyncio.sleep(HANG_S)

        return app


ADAPTER = Procrastinate
