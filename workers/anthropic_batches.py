"""Anthropic's Message Batches: up to a day, half the price, results in any order by custom id.

A batch has no name. What a batch of ours is among those that the provider lists, only its results
tell, by their custom ids.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import anthropic
import httpx2
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from lmx.workers.anthropic import FAILURES, Anthropic, answer_of, explained
from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.batches.wire import Entry, Status
from lmx.workers.cloud.errors import Failure, ProviderError, by_provider
from lmx.workers.cloud.transport import broken
from lmx.workers.cloud.words import said
from lmx.workers.cloud.words_anthropic import for_anthropic
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key

_PAGE: Final = 100


def connect(account: Account, key: Key) -> "AnthropicBatches":
    """The batches of one account."""
    return AnthropicBatches(account, key)


class AnthropicBatches(Anthropic):
    """One account's batches."""

    named = False

    def encode(self, custom_id: str, question: Question) -> dict[str, Any]:
        """One request. Raises ProviderError for what cannot be said in Anthropic's words."""
        params = said(for_anthropic, question)
        return {"custom_id": custom_id, "params": {**params, **params.pop("extra_body", {})}}

    async def create(self, name: str, model: str, requests: Sequence[Any]) -> Status:  # noqa: ARG002
        """Send a batch, once. Raises ProviderError."""
        with self._explaining():
            return _status(await self._client.messages.batches.create(requests=requests))

    async def look(self, batch_id: str) -> Status:
        """How a batch is getting on. Raises ProviderError."""
        with self._explaining():
            return _status(await self._client.messages.batches.retrieve(batch_id))

    async def results(self, batch_id: str) -> AsyncGenerator[Entry]:
        """The lines of the results, as they are read. Raises ProviderError."""
        with self._explaining():
            lines = await self._client.messages.batches.results(batch_id)
            try:
                async for line in lines:
                    yield Entry(line.custom_id, self._result(line))
            finally:
                await lines.close()

    async def recent(self, since: datetime) -> list[Status]:
        """The batches that were created at that time or later. Raises ProviderError."""
        found = []
        with self._explaining():
            async for batch in self._client.messages.batches.list(limit=_PAGE):
                if batch.created_at < since:
                    break
                found.append(_status(batch))
        return found

    async def cancel(self, batch_id: str) -> None:
        """Stop what of a batch has not begun. Raises ProviderError."""
        with self._explaining():
            await self._client.messages.batches.cancel(batch_id)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except anthropic.APIError as error:
            raise explained(error) from None
        except httpx2.TransportError as error:
            raise broken(error) from None
        except (ValueError, TypeError, AttributeError, anthropic.AnthropicError) as error:
            raise by_provider(Failure.MALFORMED, str(error)) from None

    def _result(self, line: MessageBatchIndividualResponse) -> Answer | ProviderError:
        result = line.result
        if result.type == "succeeded":
            try:
                return answer_of(result.message)
            except ProviderError as error:
                return error
        if result.type == "errored":
            told = result.error.error
            failure = FAILURES.get(told.type, Failure.SERVER)
            if failure is Failure.INVALID and "prompt is too long" in told.message:
                failure = Failure.TOO_LONG
            return ProviderError(failure, told.message)
        if result.type == "canceled":
            return ProviderError(Failure.CANCELLED, "its batch was cancelled before it began")
        return ProviderError(Failure.EXPIRED, "its batch expired before it began")


def _status(batch: MessageBatch) -> Status:
    counts = batch.request_counts
    return Status(
        id=batch.id,
        ended=batch.processing_status == "ended",
        calls=sum(
            (counts.processing, counts.succeeded, counts.errored, counts.canceled, counts.expired)
        ),
        expires_at=batch.expires_at,
    )
