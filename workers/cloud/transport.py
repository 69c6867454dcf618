"""What a broken connection means, for every SDK alike: they all speak HTTP through httpx2."""

from collections.abc import Mapping
from typing import Final

import httpx2

from lmx.workers.cloud.errors import Failure, ProviderError

CONNECT_S: Final = 10.0
_NEVER_MADE: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


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
