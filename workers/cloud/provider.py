"""What a provider's module implements: how to ask its server, over its official SDK."""

from collections.abc import Callable
from typing import Protocol

from lmx.workers.cloud.answer import Answer, Question

#: Told what has come so far: the number of pieces of text, and of reasoning. None at first, when
#: the head of the answer comes: by then the provider has counted the call.
Progress = Callable[[int], None]


class Provider(Protocol):
    """One account's connection to its provider, used by many calls at once."""

    async def ask(self, question: Question, progress: Progress) -> Answer:
        """Send one request, once, at its moment (transport.at_its_moment). Raises ProviderError;
        being cancelled closes the connection.
        """

    async def close(self) -> None:
        """Close all connections."""
