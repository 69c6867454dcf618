"""Gemini's batches: up to a day, half the price, each with a display name of ours.

Requests and responses are inline, so a batch has at most 20 MB. A request's custom id is its
metadata, which comes back with the response.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2
from google.genai import errors, types

from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.batches.wire import Entry, Status
from lmx.workers.cloud.errors import Failure, ProviderError, by_provider
from lmx.workers.cloud.transport import broken
from lmx.workers.cloud.words import said
from lmx.workers.cloud.words_gemini import config, contents
from lmx.workers.gemini import Gemini, answer_of, refusal
from lmx.workflows.providers.catalog import Account
from lmx.workflows.providers.keys import Key

_PAGE: Final = 100
_KEY: Final = "key"
#: After so long a batch that has not ended expires; most take less than a day.
_LONGEST: Final = timedelta(hours=48)
#: States in which a batch goes on; in all others it has ended.
_GOING_ON: Final = (
    types.JobState.JOB_STATE_UNSPECIFIED,
    types.JobState.JOB_STATE_QUEUED,
    types.JobState.JOB_STATE_PENDING,
    types.JobState.JOB_STATE_RUNNING,
    types.JobState.JOB_STATE_CANCELLING,
    types.JobState.JOB_STATE_PAUSED,
    types.JobState.JOB_STATE_UPDATING,
)
#: States in which nothing was made, and nothing is billed.
_IN_VAIN: Final = (types.JobState.JOB_STATE_FAILED, types.JobState.JOB_STATE_EXPIRED)
#: What the status codes of single requests mean (google.rpc.Code).
_CODES: Final = {
    1: Failure.CANCELLED,
    3: Failure.INVALID,
    4: Failure.EXPIRED,
    5: Failure.UNKNOWN_MODEL,
    7: Failure.CREDENTIALS,
    8: Failure.RATE_LIMITED,
    9: Failure.BILLING,
    14: Failure.OVERLOADED,
    16: Failure.CREDENTIALS,
}


def connect(account: Account, key: Key) -> "GeminiBatches":
    """The batches of one account."""
    return GeminiBatches(account, key)


class GeminiBatches(Gemini):
    """One account's batches."""

    named = True

    def encode(self, custom_id: str, question: Question) -> types.InlinedRequest:
        """One request. Raises ProviderError for what cannot be said in Gemini's words."""
        turns, settings = said(contents, question), said(config, question)
        try:
            return types.InlinedRequest(
                contents=turns,
                config=types.GenerateContentConfig(**settings),
                metadata={_KEY: custom_id},
            )
        except (ValueError, TypeError) as error:
            raise ProviderError(Failure.INVALID, str(error)) from None

    async def create(self, name: str, model: str, requests: Sequence[Any]) -> Status:
        """Send a batch, once. Raises ProviderError."""
        with self._explaining():
            return _status(
                await self._client.aio.batches.create(
                    model=model,
                    src=types.BatchJobSource(inlined_requests=list(requests)),
                    config=types.CreateBatchJobConfig(display_name=name),
                )
            )

    async def look(self, batch_id: str) -> Status:
        """How a batch is getting on. Raises ProviderError."""
        with self._explaining():
            return _status(await self._client.aio.batches.get(name=batch_id))

    async def results(self, batch_id: str) -> AsyncGenerator[Entry]:
        """The responses; Gemini sends them all at once. Raises ProviderError."""
        with self._explaining():
            batch = await self._client.aio.batches.get(name=batch_id)
        for response in (batch.dest.inlined_responses if batch.dest else None) or ():
            custom_id = (response.metadata or {}).get(_KEY, "")
            yield Entry(custom_id, self._result(str(batch.model or ""), response))

    async def recent(self, since: datetime) -> list[Status]:
        """The batches that were created at that time or later. Raises ProviderError."""
        found = []
        with self._explaining():
            pages = await self._client.aio.batches.list(
                config=types.ListBatchJobsConfig(page_size=_PAGE)
            )
            async for batch in pages:
                if batch.create_time is not None and batch.create_time < since:
                    break
                found.append(_status(batch))
        return found

    async def cancel(self, batch_id: str) -> None:
        """Stop what of a batch has not begun. Raises ProviderError."""
        with self._explaining():
            await self._client.aio.batches.cancel(name=batch_id)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except errors.APIError as error:
            raise refusal(error) from None
        except httpx2.TransportError as error:
            raise broken(error) from None
        except (ValueError, TypeError) as error:  # what the SDK cannot read or write
            raise by_provider(Failure.MALFORMED, str(error)) from None

    def _result(self, model: str, response: types.InlinedResponse) -> Answer | ProviderError:
        if response.error is not None:
            message = response.error.message or "no reason given"
            return ProviderError(_CODES.get(response.error.code or 0, Failure.SERVER), message)
        if response.response is None:
            return ProviderError(Failure.MALFORMED, "the batch's response is empty")
        try:
            return answer_of(model, [response.response])
        except ProviderError as error:
            return error


def _status(batch: types.BatchJob) -> Status:
    state = batch.state or types.JobState.JOB_STATE_UNSPECIFIED
    error = None
    if state in _IN_VAIN:
        reason = batch.error.message if batch.error else None
        error = f"the batch has {state.value.removeprefix('JOB_STATE_').lower()}: {reason or '?'}"
    return Status(
        id=batch.name or "",
        ended=state not in _GOING_ON,
        name=batch.display_name,
        expires_at=None if batch.create_time is None else batch.create_time + _LONGEST,
        error=error,
    )
