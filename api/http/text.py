"""Checks the text in a request's JSON: what Postgres or JSON itself cannot hold is refused."""

import math
from typing import Any


def reject_unstorable(body: Any) -> Any:
    """Return `body`; raise ValueError for NUL, lone surrogates, NaN and infinity anywhere in it."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError("it contains a number that is not finite, which JSON does not have")
        elif isinstance(value, dict):
            waiting.extend(value.keys())
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return body


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("it contains a NUL character, which Postgres cannot store")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                "it contains half of a surrogate pair, which is no character"
            ) from None
