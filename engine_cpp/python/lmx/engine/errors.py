"""What the engine raises. Each message is one line: what happened, and what to do next."""

from __future__ import annotations


class EngineError(Exception):
    """Base of all errors of the engine."""


class ModelFileError(EngineError):
    """The model file is missing, damaged, or of a kind that cannot generate text."""


class OutOfMemory(EngineError):
    """The system refused memory that the ledger had free: a lower cap would have made it wait."""


class InvalidRequest(EngineError, ValueError):
    """A parameter makes no sense; nothing was started."""


class PromptTooLong(InvalidRequest):
    """The prompt has more tokens than the context leaves room for."""


class NeverFits(EngineError):
    """The request is larger than the cap, so that no amount of waiting would help.

    ``needs``, ``cap`` and ``free`` are bytes; ``free`` is of the moment of the refusal.
    """

    def __init__(self, message: str, needs: int, cap: int, free: int) -> None:
        super().__init__(message, needs, cap, free)
        self.needs = needs
        self.cap = cap
        self.free = free

    def __str__(self) -> str:
        return str(self.args[0])


class NoRoom(NeverFits):
    """A hold was refused because that many bytes are not free now; try again later."""


class Cancelled(EngineError):
    """The request was cancelled, or the engine closed, before it was complete."""


class DeadlineExceeded(EngineError):
    """The request's own deadline passed before it was complete."""
