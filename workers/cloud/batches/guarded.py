"""Stands before a provider's module for batches: nothing that leaves it shows the key."""

import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime
from typing import Any

from lmx.workers.cloud.answer import Question
from lmx.workers.cloud.batches.wire import BatchProvider, Entry, Status
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workflows.providers.keys import Key

log = logging.getLogger("lmx.batches")


class GuardedBatches:
    """Batches whose errors are ProviderErrors without the account's key in them."""

    def __init__(self, provider: BatchProvider, key: Key) -> None:
        self._provider = provider
        self._key = key
        self.named = provider.named

    def encode(self, custom_id: str, question: Question) -> Any:
        """One call as `create` takes it."""
        with self._guarding():
            return self._provider.encode(custom_id, question)

    async def create(self, name: str, model: str, requests: Sequence[Any]) -> Status:
        """Send a batch, once."""
        with self._guarding():
            return await self._provider.create(name, model, requests)

    async def look(self, batch_id: str) -> Status:
        """How a batch is getting on."""
        with self._guarding():
            return await self._provider.look(batch_id)

    async def results(self, batch_id: str) -> AsyncGenerator[Entry]:
        """The entries of a batch that has ended."""
        with self._guarding():
            async with aclosing(self._provider.results(batch_id)) as entries:
                async for entry in entries:
                    if isinstance(entry.result, ProviderError):
                        yield Entry(entry.custom_id, entry.result.redacted(self._key.redact))
                    else:
                        yield entry

    async def recent(self, since: datetime) -> list[Status]:
        """The batches that were created at that time or later."""
        with self._guarding():
            return await self._provider.recent(since)

    async def cancel(self, batch_id: str) -> None:
        """Stop what of a batch has not begun."""
        with self._guarding():
            await self._provider.cancel(batch_id)

    async def close(self) -> None:
        """Close all connections."""
        await self._provider.close()

    @contextmanager
    def _guarding(self) -> Iterator[None]:
        """What an SDK raises that nobody foresaw may have come after the work was done."""
        try:
            yield
        except ProviderError as error:
            raise error.redacted(self._key.redact) from None
        except Exception as error:
            told = self._key.redact(f"{type(error).__name__}: {error}")
            log.warning("what the provider says of a batch cannot be read: %s", told)
            raise ProviderError(Failure.MALFORMED, told) from None
