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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lmx.workflows.allowances.rules import Allowance
from lmx.workflows.errors import ConfigError, NotFound
from lmx.workflows.pools import SHARED, PoolSpec
from lmx.workflows.providers import toml
from lmx.workflows.providers.allowed import read_allowance
from lmx.workflows.providers.batching import BatchTerms, batch_terms, of_batches
from lmx.workflows.providers.entries import Account, CloudModel, read_account, read_model
from lmx.workflows.providers.tiers import limits_of

__all__ = ["Account", "Catalog", "CloudModel", "load_catalog", "read_account"]

_FILE: Final = "providers.toml"


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

    def check(self) -> None:
        """Raise ConfigError for limits or terms of an account that cannot be meant."""
        for account in self.accounts:
            self.batch_terms(account)
            self.shared_pool(account)
            for model in self.models.values():
                if account in self.accounts_for(model):
                    self.limits(account, model.group)

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
        groups = tiers[account.tier]
        if group not in groups and group != SHARED:
            raise ConfigError(
                f"{source}: no limits are known of {group!r} in the tier {account.tier}",
                hint=f"write them: [account.limits.{group}]",
            )
        return limits_of(account.provider, groups.get(group, {}), source)


def load_catalog(home: Path | None = None) -> Catalog:
    """Read the shipped tables and the user's. Raises ConfigError, one line naming the entry."""
    shipped = toml.shipped("models.toml")["model"]
    models = [read_model(row, "shipped models.toml") for row in shipped]
    table = toml.own(home, _FILE)
    source = str(home / _FILE) if home else _FILE
    if unknown := set(table) - {"account", "budget", "model"}:
        known = "account, budget, model"
        raise ConfigError(f"{source} has an unknown key {min(unknown)!r}; known: {known}")
    models += [read_model(row, source) for row in toml.rows(table, "model", source)]
    accounts = [read_account(row, source) for row in toml.rows(table, "account", source)]
    _refuse_twins(accounts, source)
    for account in accounts:
        _refuse_unknown_groups(account, [*models, *account.models], source)
    for provider in ("anthropic", "gemini"):
        if not any(account.provider == provider for account in accounts):
            accounts.append(read_account({"provider": provider}, source))
    models += [model for account in accounts for model in account.models]
    tiers = {key: value for key, value in toml.shipped("limits.toml").items() if key != "version"}
    names = {account.full_name for account in accounts}
    allowances = [read_allowance(row, names, source) for row in toml.rows(table, "budget", source)]
    return Catalog({model.id: model for model in models}, accounts, tiers, allowances)


def _refuse_unknown_groups(account: Account, models: Sequence[CloudModel], source: str) -> None:
    """Limits of a group that no model is in would limit nothing."""
    known = {SHARED, *(model.group for model in models if model.provider == account.provider)}
    if unknown := sorted(set(account.limits) - known):
        raise ConfigError(
            f"{source}: account {account.full_name} has limits of {unknown[0]!r}, in which no model"
            f" is; known: {', '.join(sorted(known))}"
        )


def _refuse_twins(accounts: Sequence[Account], source: str) -> None:
    names = [(account.provider, account.name) for account in accounts]
    for provider, name in names:
        if names.count((provider, name)) > 1:
            raise ConfigError(f"{source}: account {provider}/{name} is there twice")
