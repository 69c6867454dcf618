"""The limits of a pool from the shorthand of limits.toml and providers.toml.

{rpm = 50, input_tpm = 50_000, output_tpm = 10_000, rpd = 1_000, usd_10min = "10"}
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from lmx.workflows.errors import ConfigError
from lmx.workflows.money import parse_usd

_Rows = list[dict[str, Any]]

#: Seconds. A minute's limit is metered as the provider does it: by buckets or by windows.
_MINUTE: Final = 60.0
_TEN_MINUTES: Final = 600.0
_METERS: Final = {"anthropic": "bucket", "gemini": "window"}
_PER_MINUTE: Final = {
    "rpm": ("requests/min", "requests"),
    "input_tpm": ("input tokens/min", "input_tokens"),
    "output_tpm": ("output tokens/min", "output_tokens"),
}


def limits_of(provider: str, terms: Mapping[str, Any], source: str) -> _Rows:
    """Limits as a pool's row has them. Raises ConfigError, naming `source`, for unknown terms."""
    meter = _METERS.get(provider, "window")
    rows: _Rows = []
    for term, value in terms.items():
        if term in _PER_MINUTE:
            name, of = _PER_MINUTE[term]
            rows.append(_row(name, of, meter, _whole(term, value, source), period_s=_MINUTE))
        elif term in _OTHERS:
            rows += _OTHERS[term](term, value, source)
        else:
            known = ", ".join(sorted([*_PER_MINUTE, *_OTHERS]))
            raise ConfigError(f"{source}: unknown limit {term!r}; known: {known}")
    return rows


def _row(name: str, of: str, kind: str, limit: int | None, **more: Any) -> dict[str, Any]:
    row = {"name": name, "of": of, "kind": kind, "limit": limit, **more}
    return {key: value for key, value in row.items() if value is not None}


def _whole(term: str, value: Any, source: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{source}: {term} is {value!r} but must be a whole number above 0")
    return value


def _per_day(term: str, value: Any, source: str) -> _Rows:
    return [_row("requests/day", "requests", "day", _whole(term, value, source))]


def _spend(term: str, value: Any, source: str) -> _Rows:
    """Dollars in any ten minutes."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigError(f'{source}: {term} is {value!r}; write dollars such as "10"')
    nano = parse_usd(str(value))
    return [_row("dollars/10min", "usd", "window", nano, period_s=_TEN_MINUTES, slots=100)]


def _share(name: str, period_s: float) -> Callable[[str, Any, str], _Rows]:
    def rows(term: str, value: Any, source: str) -> _Rows:
        if not isinstance(value, bool):
            raise ConfigError(f"{source}: {term} is true or false")
        return [_row(name, "requests", "share", None, period_s=period_s)] if value else []

    return rows


_OTHERS: Final[Mapping[str, Callable[[str, Any, str], _Rows]]] = {
    "rpd": _per_day,
    "usd_10min": _spend,
    "share_5h": _share("5 hours", 5 * 3600.0),
    "share_7d": _share("7 days", 7 * 86_400.0),
}
