"""When a failed attempt is tried again, and how its failure is told."""

import random
import traceback
from typing import Any, Final

from lmx.workflows.errors import InvalidInput, LmxError, Refused, TaskFailed

#: Errors that another attempt would meet again: bad input, a refusal, a failed child.
FINAL: Final = (InvalidInput, Refused, TaskFailed)
_MAX_TRACE: Final = 8_000
_MAX_TEXT: Final = 16_384


def delay_before(attempt: int, backoff: float, max_backoff: float) -> float:
    """Seconds to wait before attempt `attempt` + 1: exponential, with full jitter above one half.

    The jitter keeps tasks that failed together from coming back together.
    """
    longest = min(max_backoff, backoff * 2.0 ** max(0, attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


def describe(error: BaseException) -> dict[str, Any]:
    """The `error` of a task whose attempt raised."""
    told = {
        "kind": error.code if isinstance(error, LmxError) else "exception",
        "type": type(error).__name__,
        "message": storable(_message(error)),
    }
    if not isinstance(error, LmxError):
        trace = "".join(traceback.format_exception(error))
        told["traceback"] = storable(trace[-_MAX_TRACE:])
    return told


def storable(text: str) -> str:
    """Text without what jsonb cannot hold, cut to a bearable length."""
    kept = clean(text)
    return kept if len(kept) <= _MAX_TEXT else kept[:_MAX_TEXT] + "..."


def clean(text: str) -> str:
    """Text in which what jsonb cannot hold (NUL, lone surrogates) is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _message(error: BaseException) -> str:
    name = type(error).__name__
    text = str(error)
    # Their text is a bare value: a missing key, an exit code.
    return f"{name}: {text}" if isinstance(error, KeyError | SystemExit) else text or name
