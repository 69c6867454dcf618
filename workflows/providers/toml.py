"""Reads tables shipped with lmx or written by its user; every error is one line with the file."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

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
