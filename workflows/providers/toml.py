"""Reads tables shipped with lmx or written by its user; every error is one line with the file."""

import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lmx.workflows.errors import ConfigError


def shipped(name: str) -> dict[str, Any]:
    """A table that comes with lmx."""
    return parse(files(__package__).joinpath(name).read_text(encoding="utf-8"), f"shipped {name}")


def own(home: Path | None, name: str) -> dict[str, Any]:
    """A table of the user's, empty if there is none. Raises ConfigError."""
    if home is None or not (home / name).exists():
        return {}
    try:
        return parse((home / name).read_text(encoding="utf-8"), str(home / name))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{home / name} cannot be read: {error}") from None


def parse(text: str, source: str) -> dict[str, Any]:
    """Parse TOML. Raises ConfigError naming `source`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from None


def rows(table: dict[str, Any], key: str, source: str) -> list[dict[str, Any]]:
    """The [[key]] tables. Raises ConfigError for anything else under that key."""
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ConfigError(f"{source}: write them as [[{key}]] tables")
    return found


def refuse_unknown(row: Mapping[str, Any], known: set[str], source: str, what: str) -> None:
    """Raise ConfigError for a key that a table of this kind does not have."""
    if unknown := set(row) - known:
        names = ", ".join(sorted(known))
        article = "an" if what[0] in "aeiou" else "a"
        raise ConfigError(
            f"{source}: unknown key {min(unknown)!r} of {article} {what}; known: {names}"
        )


class Kind(Enum):
    """What the value of a key must be, in words."""

    ANY = "anything"
    TEXT = "a text"
    WORD = "a text or a whole number"
    URL = "an address such as http://127.0.0.1:11434/v1"
    NUMBER = "a number above 0"
    COUNT = "a whole number above 0"
    TIME = "a time such as 2026-01-31T12:00:00Z"
    TEXTS = "a list of texts"
    TABLE = "a table"
    TABLES = "a table of tables"
    ROWS = "a list of tables"

    def fits(self, value: Any) -> bool:
        """Whether a value is of this kind."""
        return _FITS[self](value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _url(value: Any) -> bool:
    try:
        url = urlsplit(value if isinstance(value, str) else "")
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_FITS: Final[Mapping[Kind, Callable[[Any], bool]]] = {
    Kind.ANY: lambda _: True,
    Kind.TEXT: _text,
    Kind.WORD: lambda value: _text(value) or _count(value),
    Kind.URL: _url,
    Kind.NUMBER: lambda value: _count(value) or (isinstance(value, float) and 0 < value < inf),
    Kind.COUNT: _count,
    Kind.TIME: _time,
    Kind.TEXTS: lambda value: isinstance(value, list) and all(map(_text, value)),
    Kind.TABLE: lambda value: isinstance(value, dict),
    Kind.TABLES: lambda value: (
        isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())
    ),
    Kind.ROWS: lambda value: (
        isinstance(value, list) and all(isinstance(one, dict) for one in value)
    ),
}


def check(row: Mapping[str, Any], kinds: Mapping[str, Kind], source: str, what: str) -> None:
    """Raise ConfigError for a key that a table of this kind does not have, or another value.

    The value is not told: it may be a secret in the wrong place.
    """
    refuse_unknown(row, set(kinds), source, what)
    for key, value in row.items():
        if not kinds[key].fits(value):
            raise ConfigError(f"{source}: {key} of the {what} must be {kinds[key].value}")
