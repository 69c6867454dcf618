"""What a provider's module implements to take calls in batches, over its official SDK."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.errors import ProviderError


@dataclass(frozen=True, slots=True)
class Status:
    """A batch as its provider tells of it. `name` is None where batches have none.

    `error` is why the whole batch has come to nothing, if it has.
    """

    id: str
    ended: bool
    calls: int | None = None
    name: str | None = None
    expires_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one call of a batch."""

    custom_id: str
    result: Answer | ProviderError


class BatchProvider(Protocol):
    """One account's batches. All methods raise ProviderError."""

    #: Whether a batch carries the name that it was given, so that it is known again at once.
    named: bool

    def encode(self, custom_id: str, question: Question) -> Any:
        """One call as `create` takes it. Raises ProviderError for what cannot be said."""

    async def create(self, name: str, model: str, requests: Sequence[Any]) -> Status:
        """Send a batch, once."""

    async def look(self, batch_id: str) -> Status:
        """How a batch is getting on."""

    def results(self, batch_id: str) -> AsyncGenerator[Entry]:
        """The entries of a batch that has ended, in any order."""

    async def recent(self, since: datetime) -> list[Status]:
        """The batches that were created at that time or later."""

    async def cancel(self, batch_id: str) -> None:
        """Stop what of a batch has not begun."""

    async def close(self) -> None:
        """Close all connections."""
