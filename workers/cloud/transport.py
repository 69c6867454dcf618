"""When a request is sent, and what a broken connection means: all SDKs speak through httpx2."""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Final

import httpx2

from lmx.workers.cloud.errors import Failure, ProviderError

CONNECT_S: Final = 10.0
_NEVER_MADE: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(slots=True)
class Gate:
    """Holds a call back until it may be sent, at a time of this process's monotonic clock."""

    opens: float
    passed: bool = False


#: The gate of the call that the current task makes.
gate: Final[ContextVar[Gate | None]] = ContextVar("gate", default=None)


async def at_its_moment(_: httpx2.Request) -> None:
    """Hold a request back, all made up, until its call may be sent: an event hook for clients."""
    if (own := gate.get()) is not None:
        await asyncio.sleep(max(0.0, own.opens - monotonic()))
        own.passed = True


def broken(error: BaseException, message: str = "") -> ProviderError:
    """A connection that was never made has cost nothing; one that broke, or hangs, may have."""
    cause = _root(error)
    reason = message or str(cause) or type(cause).__name__
    if isinstance(cause, _NEVER_MADE):
        return ProviderError(Failure.UNREACHABLE, f"the provider cannot be reached: {reason}")
    if isinstance(cause, httpx2.TimeoutException):
        return ProviderError(Failure.HUNG, "the call hangs: silent for longer than silence_s")
    return ProviderError(Failure.LOST, f"the connection broke: {reason}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a refusal asks to wait for; None if it does not say, or not in seconds."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _root(error: BaseException) -> BaseException:
    """The transport's own error, which SDKs wrap into theirs."""
    while not isinstance(error, httpx2.TransportError) and error.__cause__ is not None:
        error = error.__cause__
    return error
