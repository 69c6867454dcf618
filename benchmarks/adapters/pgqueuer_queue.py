"""pgqueuer: an asyncio job queue.

Tuned: asyncpg under uvloop and batches of 256, so up to a few hundred jobs are claimed ahead of the
slots. "16 claimed": the same drivers, but never more jobs claimed than there are slots, which its
rules make batches of 8. Defaults: psycopg, batches of 10.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterable
from typing import Any

from benchmarks.adapters.base import HANG_S, SLOTS, Adapter


class Pgqueuer(Adapter):
    """Jobs of pgqueuer; finished jobs move from the queue table to a log."""

    variants = ("tuned", "16 claimed", "defaults")
    unfinished_sql = "SELECT count(*) FROM pgqueuer"

    def install(self) -> None:
        async def install() -> None:
            await (await self._queries()).install()

        self._run(install())

    def open(self) -> None:
        if self.tuned:
            import uvloop

            self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        else:
            self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._queries())

    def close(self) -> None:
        self._loop.close()

    def enqueue(self, kind: str, number: int) -> None:
        self._loop.run_until_complete(self._client.enqueue(kind, str(number).encode()))

    def enqueue_batch(self, kind: str, numbers: Iterable[int]) -> None:
        payloads = [str(number).encode() for number in numbers]
        count = len(payloads)
        self._loop.run_until_complete(self._client.enqueue([kind] * count, payloads, [0] * count))

    def run_worker(self) -> None:
        self._run(self._work())

    async def _work(self) -> None:
        from pgqueuer import PgQueuer
        from pgqueuer.models import Job

        queries = await self._queries()
        worker = PgQueuer(queries.driver)

        # The slots are a semaphore: pgqueuer's own limit refuses a batch above half of it.
        slots = asyncio.Semaphore(SLOTS)

        @worker.entrypoint("noop")
        async def noop(job: Job) -> None:
            async with slots:
                self.noop(int(job.payload))

        @worker.entrypoint("hold")
        async def hold(job: Job) -> None:
            if self.hold_begins(int(job.payload)):
                await asyncio.sleep(HANG_S)

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, worker.shutdown.set)
        match self.settings:
            case "tuned":
                await worker.run(batch_size=256)
            case "16 claimed":
                await worker.run(batch_size=SLOTS // 2, max_concurrent_tasks=SLOTS)
            case _:
                await worker.run()

    async def _queries(self) -> Any:
        from pgqueuer.queries import Queries

        return Queries(await self._driver())

    async def _driver(self) -> Any:
        if self.tuned:
            import asyncpg
            from pgqueuer.db import AsyncpgDriver

            return AsyncpgDriver(await asyncpg.connect(self.dsn))
        import psycopg
        from pgqueuer.db import PsycopgDriver

        return PsycopgDriver(await psycopg.AsyncConnection.connect(self.dsn, autocommit=True))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if self.tuned:
            import uvloop

            uvloop.run(work)
        else:
            asyncio.run(work)


ADAPTER = Pgqueuer
