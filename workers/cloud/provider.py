"""What a provider's module implements: how to ask its server, over its official SDK."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from lmx.workers.cloud.answer import Answer, Question


class Piece(NamedTuple):
    """What has come of an answer since the piece before: any of its parts.

    Of a tool call first the name, on a line of its own, then the arguments.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: str = ""


#: Told each piece of an answer as it comes. None at first, when the head of the answer comes: by
#: then the provider has counted the call.
Progress = Callable[[Piece | None], None]


class Provider(Protocol):
    """One account's connection to its provider, used by many calls at once."""

    async def ask(self, question: Question, progress: Progress) -> Answer:
        """Send one request, once, at its moment (transport.at_its_moment). Raises ProviderError;
        being cancelled closes the connection.
        """

    async def close(self) -> None:
        """Close all connections."""
