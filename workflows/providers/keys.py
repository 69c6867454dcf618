"""The keys of provider accounts: from the environment, or from a file that only its owner can read.

`$LMX_HOME/keys.toml` has a table for each provider:

    [anthropic]
    default = "sk-ant-..."

A key never leaves the process that reads it: it is not logged, stored or shown.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lmx.workflows.errors import ConfigError
from lmx.workflows.providers import toml
from lmx.workflows.providers.catalog import Account, Catalog

_FILE = "keys.toml"
#: A beginning of a key that is shorter than this tells no more than whose key it is.
_TELLING = 8


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that does not show itself: only `reveal` gives its text."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """The key itself, for the header of a request and nothing else."""
        return self._text

    def redact(self, text: str) -> str:
        """`text` without the key, should a provider have quoted it."""
        return text.replace(self._text, "[key]") if self._text else text

    def redact_growing(self, text: str) -> str:
        """The same of a text that goes on, whose end may be the beginning of the key."""
        shown = self.redact(text)
        for length in range(len(self._text) - 1, _TELLING - 1, -1):
            if shown.endswith(self._text[:length]):
                return shown[:-length]
        return shown

    def __str__(self) -> str:
        return "[key]"


def read_key(account: Account, home: Path, environ: Mapping[str, str] | None = None) -> Key:
    """The account's key. Raises ConfigError, saying where it was looked for."""
    if (key := find_key(account, home, environ)) is not None:
        return key
    places = [f"[{account.provider}] {account.name} in {home / _FILE}"]
    if account.key_env:
        places.insert(0, account.key_env)
    raise ConfigError(
        f"there is no key for the account {account.full_name}",
        hint=f"set {' or '.join(places)}",
    )


def find_key(account: Account, home: Path, environ: Mapping[str, str] | None = None) -> Key | None:
    """The account's key, if there is one. A server of one's own may do without: its key is empty.

    Raises ConfigError for a file of keys that others can read.
    """
    env = os.environ if environ is None else environ
    if account.key_env and (text := env.get(account.key_env, "").strip()):
        return Key(text)
    if found := _from_file(account, home):
        return Key(found)
    return Key("") if account.provider == "openai" else None


def find_admin_key(account: Account, environ: Mapping[str, str] | None = None) -> Key | None:
    """The key with which the provider may be asked for the account's limits, if there is one."""
    env = os.environ if environ is None else environ
    text = env.get(account.admin_key_env, "").strip() if account.admin_key_env else ""
    return Key(text) if text else None


def served_queues(
    catalog: Catalog, home: Path, environ: Mapping[str, str] | None = None
) -> list[str]:
    """The queues of the accounts that have a key, each once.

    Raises ConfigError for a file of keys that others can read.
    """
    queues: dict[str, None] = {}
    for account in catalog.accounts:
        if find_key(account, home, environ) is not None:
            queues[account.queue] = None
    return list(queues)


def _from_file(account: Account, home: Path) -> str | None:
    path = home / _FILE
    if not path.exists():
        return None
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"{path} can be read by others (mode {mode:o})", hint=f"run: chmod 600 {path}"
        )
    table = toml.own(home, _FILE).get(account.provider, {})
    text = table.get(account.name) if isinstance(table, dict) else None
    if text is not None and not isinstance(text, str):
        raise ConfigError(f"{path}: the key of {account.full_name} is no text")
    return text.strip() if text else None
