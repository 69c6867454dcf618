"""When a failed attempt is tried again, and how its failure is told."""

import random
import traceback
from typing import Any, Final

from lmx.workflows.errors import InvalidInput, LmxError, Refused, TaskFailed

#: Errors that another attempt would meet again: bad input, a refusal, a failed child.
FINAL: Final = (InvalidInput, Refused, TaskFailed)
_MAX_TRACE: Final = 8_000


def delay_before(attempt: int, backoff: float, max_backoff: float) -> float:
    """Seconds to wait before attempt `attempt` + 1: exponential, with full jitter above one half.

    The jitter keeps tasks that failed together from coming back together.
    """
    longest = min(max_backoff, backoff * 2.0 ** max(0, attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


def describe(error: BaseException) -> dict[str, Any]:
    """The `error` of a task whose attempt raised."""
    message = str(error) or type(error).__name__
    trace = "".join(traceback.format_exception(error)) if not isinstance(error, LmxError) else ""
    kind = error.code if isinstance(error, LmxError) else "exception"
    told: dict[str, Any] = {
        "kind": kind,
        "type": type(error).__name__,
        "message": message.replace("\x00", ""),
    }
    if trace:
        told["traceback"] = trace[-_MAX_TRACE:].replace("\x00", "")
    return told
