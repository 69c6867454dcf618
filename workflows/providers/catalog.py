"""The cloud models, the accounts that may use them, and the pools that follow from both.

`$LMX_HOME/providers.toml` adds accounts and models:

    [[account]]                     # the default accounts need no entry
    provider = "anthropic"
    name = "work"
    tier = 2
    key_env = "WORK_ANTHROPIC_KEY"

    [account.limits.haiku]          # instead of what the tier says
    rpm = 100

    [account.limits."*"]            # shared by all its model groups
    usd_10min = "20"

    [[budget]]                      # what may be spent; also month, total; tokens, calls
    per = "day"
    usd = "5.00"
    account = "anthropic/work"      # without it: of all calls
    zone = "Europe/Berlin"          # without it: UTC

    [account.batches]               # see lmx.workflows.providers.batching
    wait_s = 300

    [[account]]                     # any server that speaks OpenAI's protocol
    provider = "openai"
    name = "ollama"
    base_url = "http://127.0.0.1:11434/v1"
    models = [{ id = "qwen3:8b", context = 32_768, max_output = 8_192 }]
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from lmx.workflows.allowances.rules import Allowance
from lmx.workflows.errors import ConfigError, NotFound
from lmx.workflows.pools import EPOCH, SHARED, PoolSpec
from lmx.workflows.providers import toml
from lmx.workflows.providers.allowed import read_allowance
from lmx.workflows.providers.batching import BatchTerms, batch_terms, of_batches
from lmx.workflows.providers.tiers import limits_of

PROVIDERS: Final = ("anthropic", "gemini", "openai")
SILENCE_S: Final = 120.0
#: A part of the names of pools and queues.
_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
_FILE: Final = "providers.toml"
_KEY_ENV: Final = {"anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
_ADMIN_KEY_ENV: Final = {"anthropic": "ANTHROPIC_ADMIN_KEY"}
_ACCOUNT_KEYS: Final = {
    "provider",
    "name",
    "tier",
    "key_env",
    "admin_key_env",
    "base_url",
    "limits",
    "batches",
    "models",
    "clock_rate",
    "clock_origin",
    "silence_s",
}
_MODEL_KEYS: Final = {"id", "provider", "group", "context", "max_output", "features"}


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


@dataclass(frozen=True, slots=True)
class Catalog:
    """What can be called: models and accounts, with the limits of each tier."""

    models: Mapping[str, CloudModel]
    accounts: Sequence[Account]
    tiers: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
    allowances: Sequence[Allowance] = ()

    def model(self, name: str) -> CloudModel:
        """The model called `name`. Raises NotFound with the nearest names."""
        if name in self.models:
            return self.models[name]
        near = difflib.get_close_matches(name, self.models, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "`lmx models` lists what can be used"
        raise NotFound(f"no model is called {name!r}", hint=hint)

    def accounts_for(self, model: CloudModel) -> list[Account]:
        """The accounts whose keys reach this model, in the order of the file."""
        return [
            account
            for account in self.accounts
            if account.provider == model.provider
            and (account.provider != "openai" or model in account.models)
        ]

    def pool(self, account: Account, model: CloudModel) -> PoolSpec:
        """The pool that a model's calls with an account count in."""
        return PoolSpec(
            queue=account.queue,
            provider=account.provider,
            account=account.name,
            model_group=model.group,
            limits=self.limits(account, model.group),
            clock_rate=account.clock_rate,
            clock_origin=account.clock_origin,
        )

    def shared_pool(self, account: Account) -> PoolSpec | None:
        """The pool of the limits that all model groups of an account share, if there are any."""
        limits = self.limits(account, SHARED)
        if not limits:
            return None
        return PoolSpec(
            queue=account.queue,
            provider=account.provider,
            account=account.name,
            model_group=SHARED,
            limits=limits,
            clock_rate=account.clock_rate,
            clock_origin=account.clock_origin,
        )

    def batch_terms(self, account: Account) -> BatchTerms | None:
        """How an account's calls go in batches; None where they cannot. Raises ConfigError."""
        tiers = self.tiers.get("batches", {}).get(account.provider, {})
        if account.tier not in tiers:
            return None
        source = f"account {account.full_name}, batches"
        return batch_terms({**tiers[account.tier], **account.batches}, source)

    def batch_pool(self, account: Account, model: CloudModel) -> PoolSpec:
        """The pool of a model's calls that wait for a batch: no limit of a minute holds for it."""
        return replace(
            self.pool(account, model),
            queue=account.batch_queue,
            model_group=of_batches(model.group),
            limits=[],
        )

    def limits(self, account: Account, group: str) -> list[dict[str, Any]]:
        """What the account says of a model group, or else its tier. Raises ConfigError."""
        source = f"account {account.full_name}"
        if group in account.limits:
            return limits_of(account.provider, account.limits[group], f"{source}, {group}")
        if account.provider == "openai":
            return []
        tiers = self.tiers.get(account.provider, {})
        if account.tier not in tiers:
            raise ConfigError(
                f"{source} has the unknown tier {account.tier!r}",
                hint=f"known are {', '.join(tiers)}; or give it limits of its own",
            )
        return limits_of(account.provider, tiers[account.tier].get(group, {}), source)


def load_catalog(home: Path | None = None) -> Catalog:
    """Read the shipped tables and the user's. Raises ConfigError, one line naming the entry."""
    models = [_model(row, "shipped models.toml") for row in toml.shipped("models.toml")["model"]]
    table = toml.own(home, _FILE)
    source = str(home / _FILE) if home else _FILE
    if unknown := set(table) - {"account", "budget", "model"}:
        known = "account, budget, model"
        raise ConfigError(f"{source} has an unknown key {min(unknown)!r}; known: {known}")
    models += [_model(row, source) for row in toml.rows(table, "model", source)]
    accounts = [read_account(row, source) for row in toml.rows(table, "account", source)]
    _refuse_twins(accounts, source)
    for provider in ("anthropic", "gemini"):
        if not any(account.provider == provider for account in accounts):
            accounts.append(read_account({"provider": provider}, source))
    models += [model for account in accounts for model in account.models]
    tiers = {key: value for key, value in toml.shipped("limits.toml").items() if key != "version"}
    names = {account.full_name for account in accounts}
    allowances = [read_allowance(row, names, source) for row in toml.rows(table, "budget", source)]
    return Catalog({model.id: model for model in models}, accounts, tiers, allowances)


def _refuse_twins(accounts: Sequence[Account], source: str) -> None:
    names = [(account.provider, account.name) for account in accounts]
    for provider, name in names:
        if names.count((provider, name)) > 1:
            raise ConfigError(f"{source}: account {provider}/{name} is there twice")


def read_account(row: Mapping[str, Any], source: str) -> Account:
    """An account as providers.toml writes it. Raises ConfigError, naming `source`."""
    toml.refuse_unknown(row, _ACCOUNT_KEYS, source, "account")
    provider = row.get("provider")
    if provider not in PROVIDERS:
        raise ConfigError(f"{source}: an account's provider is one of {', '.join(PROVIDERS)}")
    name = str(row.get("name", "default"))
    if not _NAME.match(name):
        raise ConfigError(
            f"{source}: {name!r} cannot name an account; use letters, digits, dashes, underscores"
        )
    if provider == "openai" and not row.get("base_url"):
        raise ConfigError(f"{source}: account openai/{name} needs a base_url")
    models = [
        _model({"group": item.get("id"), **item, "provider": provider}, source)
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
        clock_origin=str(row.get("clock_origin", EPOCH)),
        silence_s=_silence(row.get("silence_s", SILENCE_S), f"{source}: account {provider}/{name}"),
    )


def _silence(value: Any, source: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= 86_400:
        raise ConfigError(f"{source}: silence_s is {value!r} but must be seconds from 0 to 86400")
    return float(value)


def _model(row: Mapping[str, Any], source: str) -> CloudModel:
    toml.refuse_unknown(row, _MODEL_KEYS, source, "model")
    try:
        return CloudModel(
            id=str(row["id"]),
            provider=str(row["provider"]),
            group=str(row["group"]),
            context=int(row["context"]),
            max_output=int(row["max_output"]),
            features=frozenset(row.get("features", ())),
        )
    except KeyError as error:
        raise ConfigError(f"{source}: a model needs {error.args[0]}") from None
