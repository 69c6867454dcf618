"""Sends a batch, and finds out whether the provider has it when nobody knows.

A batch is sent once. `sent_at` commits before the request: if no answer is recorded after it, the
provider's own list tells whether it took the batch. One that carries our name is ours; of those
without names each that could be ours is looked into when it has ended, by its custom ids.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.batches import records
from lmx.workers.cloud.batches.recording import give_back, record
from lmx.workers.cloud.batches.records import Batch, Connection, Member
from lmx.workers.cloud.batches.wire import BatchProvider, Status
from lmx.workers.cloud.calls import hashes_of
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workers.cloud.outcome import news_of
from lmx.workflows import faults
from lmx.workflows.attachments.store import load_files
from lmx.workflows.providers.batching import BatchTerms
from lmx.workflows.providers.pricing import Prices
from lmx.workflows.sql import statement

log = logging.getLogger("lmx.batches")

#: The provider has refused the batch as a whole, because of what one of its calls says.
_TOO_MUCH: Final = (Failure.INVALID, Failure.TOO_LONG)
#: Nobody knows whether the provider has the batch.
_DOUBTFUL: Final = (Failure.SERVER, Failure.MALFORMED, Failure.LOST, Failure.HUNG)
#: A batch may be in the list with a time so much earlier than ours, in seconds.
_SKEW: Final = timedelta(seconds=120)
_TOKEN_BYTES: Final = 8
#: How many calls are recorded together.
GROUP: Final = 100

_KNOWN: Final = "SELECT provider_id FROM lmx.batches WHERE provider_id = ANY(%s)"


class Sender:
    """Sends the batches of one account; every method leaves the batch's row as it is to be."""

    def __init__(
        self,
        conn: Connection,
        provider: BatchProvider,
        prices: Prices,
        worker: int,
        terms: BatchTerms,
    ) -> None:
        self._conn = conn
        self._provider = provider
        self._prices = prices
        self._worker = worker
        self._terms = terms

    async def send(self, batch: Batch) -> None:
        """Send what waits in a batch that nobody has sent yet."""
        requests, said = self._encoded(batch)
        if said:
            record(self._conn, batch, self._worker, said, self._prices)
        if not requests:
            records.close(self._conn, batch, self._worker, "ended")
            return
        intended = "sent_at = clock_timestamp(), candidates = NULL, calls = %s"
        if not records.write(self._conn, batch, self._worker, intended, len(requests)):
            return
        try:
            status = await self._provider.create(batch.name, batch.model, requests)
        except ProviderError as error:
            self._not_sent(batch, error)
            return
        faults.points({"send_batch"}, "before")
        await self._accepted(batch, status)
        faults.points({"send_batch"}, "after")

    async def find(self, batch: Batch) -> None:
        """Find a batch that may have been sent; if the provider does not have it, send it."""
        since = datetime.fromtimestamp(batch.since, UTC) - _SKEW
        listed = await self._provider.recent(since)
        known = {row[0] for row in self._conn.execute(_KNOWN, [[one.id for one in listed]])}
        listed = [one for one in listed if one.id not in known]
        if self._provider.named:
            ours = [one for one in listed if one.name == batch.name]
            if ours:
                await self._accepted(batch, ours[0])
            else:
                await self.send(batch)
            return
        could_be = [one for one in listed if one.calls in (None, batch.calls)]
        await self._look_into(batch, could_be)

    async def _look_into(self, batch: Batch, could_be: Sequence[Status]) -> None:
        """Those that have ended tell by their custom ids; the others are waited for."""
        for status in could_be:
            if status.ended and await self._is_ours(batch, status):
                await self._accepted(batch, status)
                return
        undecided = [status.id for status in could_be if not status.ended]
        if not undecided:
            await self.send(batch)
            return
        records.write(self._conn, batch, self._worker, "candidates = %s", undecided)
        records.put_back(self._conn, batch, self._worker, self._terms.poll_s)

    async def _is_ours(self, batch: Batch, status: Status) -> bool:
        async with aclosing(self._provider.results(status.id)) as entries:
            async for entry in entries:
                return batch.task_of(entry.custom_id) is not None
        return False

    async def _accepted(self, batch: Batch, status: Status) -> None:
        """The provider has it. Whoever says so first is right, even if taken for dead meanwhile."""
        changes = {
            "batch": batch.id,
            "provider_id": status.id,
            "expires_at": status.expires_at,
            "pause": 0.0 if status.ended else self._terms.poll_s / batch.rate,
        }
        with self._conn.transaction():
            first = self._conn.execute(statement("accept_batch"), changes).fetchone()
            records.tell_pool(self._conn, batch, [("succeeded", {})])
        if first is not None and first[0] == status.id:
            log.info("batch %s: %s calls are there as %s", batch.id, batch.calls, status.id)
        else:
            log.warning("batch %s was sent twice; cancelling %s", batch.id, status.id)
            with suppress(ProviderError):  # it may have ended already
                await self._provider.cancel(status.id)

    def _not_sent(self, batch: Batch, error: ProviderError) -> None:
        log.warning("batch %s was not sent: %s: %s", batch.id, error.failure.value, error)
        if error.failure in _DOUBTFUL:
            records.write(self._conn, batch, self._worker, "error = %s", str(error))
            records.put_back(self._conn, batch, self._worker, self._terms.settled_s)
        elif error.failure in _TOO_MUCH and batch.calls > 1:
            token = secrets.token_hex(_TOKEN_BYTES)
            with self._conn.transaction():
                records.hold(self._conn, batch, self._worker)
                self._conn.execute(statement("split_batch"), {"batch": batch.id, "token": token})
        elif error.meaning.breaker or error.meaning.again:
            self._wait(batch, error)
        else:
            self._fail(batch, error)

    def _wait(self, batch: Batch, error: ProviderError) -> None:
        """The provider takes nothing now: the pool waits, and the calls go back."""
        records.tell_pool(self._conn, batch, news_of(error))
        self._all(batch, lambda ids: give_back(self._conn, batch, self._worker, ids))
        records.close(self._conn, batch, self._worker, "refused", str(error))

    def _fail(self, batch: Batch, error: ProviderError) -> None:
        """Nothing of it can be asked so."""
        self._all(
            batch,
            lambda ids: record(
                self._conn, batch, self._worker, dict.fromkeys(ids, error), self._prices
            ),
        )
        records.close(self._conn, batch, self._worker, "refused", str(error))

    def _all(self, batch: Batch, each: Callable[[list[int]], int]) -> None:
        while some := records.members(self._conn, batch, limit=GROUP):
            each([member.lease.task_id for member in some])

    def _encoded(self, batch: Batch) -> tuple[list[Any], dict[int, ProviderError]]:
        """What is sent, and the calls that cannot be said in the provider's words."""
        requests: list[Any] = []
        unsaid: dict[int, ProviderError] = {}
        for member in records.members(self._conn, batch, inputs=True):
            if not member.waits:
                unsaid[member.lease.task_id] = ProviderError(Failure.CANCELLED, "it was cancelled")
                continue
            try:
                requests.append(self._encode(batch, member))
            except ProviderError as error:
                unsaid[member.lease.task_id] = error
        return requests, unsaid

    def _encode(self, batch: Batch, member: Member) -> Any:
        call = {**member.lease.input, "model": batch.model}
        hashes = hashes_of(call)
        question = Question.read(call, load_files(self._conn, hashes) if hashes else {})
        return self._provider.encode(batch.custom_id(member.lease), question)
