"""What Anthropic's response headers say of a pool's limits. They may only lower what we believe."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

_PREFIX: Final = "anthropic-ratelimit-"
#: Our names of the limits that a header's middle part stands for.
_PER_MINUTE: Final = {
    "requests": "requests/min",
    "input-tokens": "input tokens/min",
    "output-tokens": "output tokens/min",
}
#: `remaining` of tokens is rounded to this; so much less may really be left.
_ROUNDED_TO: Final = 1_000
_SHARES: Final = {"5h": "5 hours", "7d": "7 days"}
_WHOLE: Final = 1_000_000


def told_by_anthropic(headers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Limits by name, as `News("told")` has them; what cannot be read is left out."""
    told: dict[str, dict[str, Any]] = {}
    for part, name in _PER_MINUTE.items():
        limit = _number(headers.get(f"{_PREFIX}{part}-limit"))
        remaining = _number(headers.get(f"{_PREFIX}{part}-remaining"))
        if limit is None or remaining is None:
            continue
        slack = 0 if part == "requests" else _ROUNDED_TO
        told[name] = {"limit": limit, "remaining": min(limit, remaining + slack // 2)}
    for part, name in _SHARES.items():
        if share := _share(headers, part):
            told[name] = share
    return told


def _share(headers: Mapping[str, str], part: str) -> dict[str, Any] | None:
    """A window of a subscription: how much of it is used, and when it ends."""
    try:
        used = float(headers[f"{_PREFIX}unified-{part}-utilization"])
        resets_at = _time(headers[f"{_PREFIX}unified-{part}-reset"])
    except (KeyError, ValueError):
        return None
    left = round((1.0 - min(1.0, max(0.0, used))) * _WHOLE)
    return {"limit": _WHOLE, "remaining": left, "resets_at": resets_at}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _time(text: str) -> float:
    """Seconds since the epoch, from a number or from RFC 3339."""
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()
