"""Looks after a batch that is at its provider: asks how it is, records its results, cancels it."""

import logging
from typing import Final

from lmx.workers.cloud.batches import records
from lmx.workers.cloud.batches.recording import Result, record
from lmx.workers.cloud.batches.records import Batch, Connection
from lmx.workers.cloud.batches.sending import GROUP
from lmx.workers.cloud.batches.wire import BatchProvider, Status
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workers.cloud.outcome import news_of
from lmx.workflows.providers.pricing import Prices

log = logging.getLogger("lmx.batches")

_WANTED: Final = """
SELECT EXISTS (SELECT FROM lmx.batch_calls m JOIN lmx.tasks t ON t.id = m.task_id
               WHERE m.batch_id = %s AND m.outcome IS NULL
                 AND t.state = 'parked' AND t.lease_seq = m.lease_seq)
"""


class Collector:
    """Looks after the batches of one account, every `every_s` seconds of the provider's clock."""

    def __init__(
        self, conn: Connection, provider: BatchProvider, prices: Prices, worker: int, every_s: float
    ) -> None:
        self._conn = conn
        self._provider = provider
        self._prices = prices
        self._worker = worker
        self._every_s = every_s

    async def look_after(self, batch: Batch) -> None:
        """Ask for the batch; when it has ended, record all of its results."""
        assert batch.provider_id is not None
        try:
            status = await self._provider.look(batch.provider_id)
            if status.ended:
                await self._collect(batch, status)
            else:
                await self._wait(batch)
        except ProviderError as error:
            self._failed(batch, error)

    async def _wait(self, batch: Batch) -> None:
        """Ask again later; a batch that nobody waits for any more is cancelled."""
        if batch.state == "processing" and not self._wanted(batch):
            assert batch.provider_id is not None
            await self._provider.cancel(batch.provider_id)
            records.write(self._conn, batch, self._worker, "state = 'cancelling'")
            log.info("batch %s: all of its calls were cancelled, and so is it", batch.id)
        records.put_back(self._conn, batch, self._worker, self._every_s)

    def _wanted(self, batch: Batch) -> bool:
        row = self._conn.execute(_WANTED, [batch.id]).fetchone()
        return bool(row and row[0])

    async def _collect(self, batch: Batch, status: Status) -> None:
        results: dict[int, Result] = {}
        if status.error is None:
            async for entry in self._provider.results(status.id):
                task = batch.task_of(entry.custom_id)
                if task is None:
                    log.warning("batch %s: no call is %s", batch.id, entry.custom_id)
                    continue
                results[task] = entry.result
                if len(results) >= GROUP:
                    self._record(batch, results)
                    results = {}
            self._record(batch, results)
        self._finish(batch, status)

    def _record(self, batch: Batch, results: dict[int, Result]) -> None:
        if results:
            record(self._conn, batch, self._worker, results, self._prices)

    def _finish(self, batch: Batch, status: Status) -> None:
        """Calls of which the provider says nothing: were they made, nobody can know."""
        if status.error is None:
            missing = ProviderError(Failure.MALFORMED, "the batch's results say nothing of it")
        else:
            missing = ProviderError(Failure.EXPIRED, status.error)
        while some := records.members(self._conn, batch, limit=GROUP):
            self._record(batch, dict.fromkeys((one.lease.task_id for one in some), missing))
        with self._conn.transaction():
            records.close(self._conn, batch, self._worker, "ended", status.error)
            records.tell_pool(self._conn, batch, [("succeeded", {})])

    def _failed(self, batch: Batch, error: ProviderError) -> None:
        """The provider does not answer: the batch goes on there. One it has forgotten is lost."""
        if error.failure is Failure.UNKNOWN_MODEL:  # not found
            lost = ProviderError(Failure.LOST, f"the provider has no such batch: {error}")
            while some := records.members(self._conn, batch, limit=GROUP):
                self._record(batch, dict.fromkeys((one.lease.task_id for one in some), lost))
            records.close(self._conn, batch, self._worker, "ended", str(lost))
            return
        log.warning("batch %s cannot be asked for: %s", batch.id, error)
        with self._conn.transaction():
            records.tell_pool(self._conn, batch, news_of(error))
            records.write(self._conn, batch, self._worker, "error = %s", str(error))
            records.put_back(self._conn, batch, self._worker, self._every_s)
