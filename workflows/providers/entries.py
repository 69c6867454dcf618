"""The accounts and models that providers.toml names, checked as they are read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from lmx.workflows.errors import ConfigError
from lmx.workflows.pools import EPOCH
from lmx.workflows.providers import toml
from lmx.workflows.providers.batching import of_batches

PROVIDERS: Final = ("anthropic", "gemini", "openai")
SILENCE_S: Final = 120.0
#: What a model may be able to do.
FEATURES: Final = ("tools", "images", "files", "json_schema", "thinking", "prompt_cache", "batch")
#: A part of the names of pools and queues.
_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
_VARIABLE: Final = re.compile(r"^[A-Z_][A-Z0-9_]*$")
_KEY_ENV: Final = {"anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
_ADMIN_KEY_ENV: Final = {"anthropic": "ANTHROPIC_ADMIN_KEY"}
_ACCOUNT: Final[Mapping[str, toml.Kind]] = {
    "provider": toml.Kind.TEXT,
    "name": toml.Kind.TEXT,
    "tier": toml.Kind.WORD,
    "key_env": toml.Kind.TEXT,
    "admin_key_env": toml.Kind.TEXT,
    "base_url": toml.Kind.URL,
    "limits": toml.Kind.TABLES,
    "batches": toml.Kind.TABLE,
    "models": toml.Kind.ROWS,
    "clock_rate": toml.Kind.NUMBER,
    "clock_origin": toml.Kind.TIME,
    "silence_s": toml.Kind.ANY,
}
_MODEL: Final[Mapping[str, toml.Kind]] = {
    "id": toml.Kind.TEXT,
    "provider": toml.Kind.TEXT,
    "group": toml.Kind.TEXT,
    "context": toml.Kind.COUNT,
    "max_output": toml.Kind.COUNT,
    "features": toml.Kind.TEXTS,
}


@dataclass(frozen=True, slots=True)
class CloudModel:
    """A model of a provider. Sizes are in tokens; `group` is the pool that its calls count in."""

    id: str
    provider: str
    group: str
    context: int
    max_output: int
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Account:
    """A key's owner at a provider. The key itself is read from `key_env` by the worker alone.

    With the key of `admin_key_env` the provider is asked for the account's limits. `fixed`: a
    person has named its tier, so what the provider says may only lower that.
    `clock_rate` and `clock_origin` are for rehearsals, whose provider's clock runs faster. A call
    of which nothing is heard for `silence_s` seconds counts as hung.
    """

    provider: str
    name: str
    tier: str = "1"
    key_env: str | None = None
    admin_key_env: str | None = None
    fixed: bool = False
    base_url: str | None = None
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    batches: Mapping[str, Any] = field(default_factory=dict)
    models: Sequence[CloudModel] = ()
    clock_rate: float = 1.0
    clock_origin: str = EPOCH
    silence_s: float = SILENCE_S

    @property
    def full_name(self) -> str:
        """How people call it: `anthropic/default`."""
        return f"{self.provider}/{self.name}"

    @property
    def queue(self) -> str:
        """The queue of the worker that serves this account."""
        return f"openai-{self.name}" if self.provider == "openai" else self.provider

    @property
    def batch_queue(self) -> str:
        """The queue in which calls wait to be put into batches."""
        return of_batches(self.full_name)

    @property
    def at_home(self) -> bool:
        """Whether its server is on this machine or in a private network."""
        host = urlsplit(self.base_url or "").hostname or ""
        try:
            return self.provider == "openai" and ip_address(host).is_private
        except ValueError:
            return self.provider == "openai" and (host == "localhost" or host.endswith(".local"))


def read_account(row: Mapping[str, Any], source: str) -> Account:
    """An account as providers.toml writes it. Raises ConfigError, naming `source`."""
    toml.check(row, _ACCOUNT, source, "account")
    provider = row.get("provider")
    if provider not in PROVIDERS:
        raise ConfigError(f"{source}: an account's provider is one of {', '.join(PROVIDERS)}")
    name = row.get("name", "default")
    if not _NAME.match(name):
        raise ConfigError(
            f"{source}: {name!r} cannot name an account; use letters, digits, dashes, underscores"
        )
    if provider == "openai" and "base_url" not in row:
        raise ConfigError(f"{source}: account openai/{name} needs a base_url")
    for key in ("key_env", "admin_key_env"):
        if key in row and not _VARIABLE.match(row[key]):  # not told: it may be the key itself
            raise ConfigError(
                f"{source}: {key} of the account {provider}/{name} is no name of an environment"
                " variable, in capitals",
                hint=f"the key itself stands in that variable, or under [{provider}] in keys.toml",
            )
    models = [
        read_model({"group": item.get("id", name), **item, "provider": provider}, source)
        for item in row.get("models", [])
    ]
    key_env = row.get("key_env", _KEY_ENV.get(provider))
    admin = _ADMIN_KEY_ENV.get(provider) if key_env == _KEY_ENV.get(provider) else None
    return Account(
        provider=provider,
        name=name,
        tier=str(row.get("tier", "1")),
        key_env=key_env,
        admin_key_env=row.get("admin_key_env", admin),
        fixed="tier" in row,
        base_url=row.get("base_url"),
        limits=row.get("limits", {}),
        batches=row.get("batches", {}),
        models=tuple(models),
        clock_rate=float(row.get("clock_rate", 1.0)),
        clock_origin=row.get("clock_origin", EPOCH),
        silence_s=_silence(row.get("silence_s", SILENCE_S), f"{source}: account {provider}/{name}"),
    )


def _silence(value: Any, source: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= 86_400:
        raise ConfigError(f"{source}: silence_s is {value!r} but must be seconds from 0 to 86400")
    return float(value)


def read_model(row: Mapping[str, Any], source: str) -> CloudModel:
    """A model as providers.toml writes it. Raises ConfigError, naming `source`."""
    toml.check(row, _MODEL, source, "model")
    if missing := [key for key in _MODEL if key != "features" and row.get(key) is None]:
        raise ConfigError(f"{source}: a model needs {missing[0]}")
    if row["provider"] not in PROVIDERS:
        raise ConfigError(f"{source}: a model's provider is one of {', '.join(PROVIDERS)}")
    features = frozenset(row.get("features", ()))
    if unknown := sorted(features.difference(FEATURES)):
        raise ConfigError(
            f"{source}: the model {row['id']} has the unknown feature {unknown[0]!r};"
            f" known: {', '.join(FEATURES)}"
        )
    return CloudModel(**{**row, "features": features})
