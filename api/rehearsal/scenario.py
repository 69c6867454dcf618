"""A scenario to rehearse: accounts with their tiers, agents with their calls, the models' pace.

docs/rehearsal.md describes the file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from lmx.api.rehearsal.provider import Pace
from lmx.workflows.errors import ConfigError, NotFound
from lmx.workflows.providers import toml
from lmx.workflows.providers.catalog import Account, Catalog, CloudModel, load_catalog, read_account

#: The key that the faithful provider takes. It opens nothing.
KEY: Final = "rehearsal-key"
#: The small model that comes with the set-up; a file is named by its path, which ends in .gguf.
LOCAL: Final = "local"
#: A limit that is cut is cut to this part of it.
THROTTLED_TO: Final = 10
_LETTERS_PER_TOKEN: Final = 4
_LONGEST_MINUTES: Final = 7 * 24 * 60
_KEYS: Final = {"title", "minutes", "account", "agents", "pace"}
_AGENTS_KEYS: Final = ("model", "count", "calls", "prompt_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class Agents:
    """`count` agents that make `calls` calls each; the engine answers those of a `local` model."""

    model: str
    count: int
    calls: int
    prompt_tokens: int
    max_tokens: int
    local: bool = False

    @property
    def prompt(self) -> str:
        """A prompt of about so many tokens."""
        return "tide " * max(1, self.prompt_tokens * _LETTERS_PER_TOKEN // 5)

    @property
    def total(self) -> int:
        """All of their calls."""
        return self.count * self.calls


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is rehearsed, for so many minutes by the providers' clock.

    `pace` holds for every model, `paces` for one of them.
    """

    title: str
    minutes: float
    accounts: Sequence[Account]
    agents: Sequence[Agents]
    pace: Mapping[str, float] = field(default_factory=dict)
    paces: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def cloud(self) -> list[Agents]:
        """The agents whose models are a provider's."""
        return [agents for agents in self.agents if not agents.local]

    def catalog(self) -> Catalog:
        """The shipped models, and those of the scenario's own servers."""
        shipped = load_catalog()
        own = {model.id: model for account in self.accounts for model in account.models}
        return Catalog({**shipped.models, **own}, self.accounts, shipped.tiers)


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by its name, or one from a file. Raises NotFound, ConfigError."""
    if name.endswith(".toml"):
        return _read(toml.parse(_text(Path(name)), name), name)
    shipped = files(__package__).joinpath("profiles")
    names = sorted(one.name.removesuffix(".toml") for one in shipped.iterdir())
    if name not in names:
        hint = f"known are {', '.join(names)}; or give a .toml file"
        raise NotFound(f"there is no rehearsal called {name!r}", hint=hint)
    return _read(toml.parse(shipped.joinpath(f"{name}.toml").read_text(), name), name)


def served(scenario: Scenario, throttled: str | None = None) -> dict[str, Any]:
    """The profile that the faithful provider serves: the same limits, enforced by its own means.

    The limits of the pool `throttled` are cut, and nobody but the provider knows. Raises NotFound
    if the scenario has no such pool.
    """
    catalog = scenario.catalog()
    told = _serving(catalog, [catalog.model(agents.model) for agents in scenario.cloud])
    for name, model in told["models"].items():
        model |= {**scenario.pace, **scenario.paces.get(name, {})}
    if throttled is not None:
        if throttled not in told["pools"]:
            raise NotFound(
                f"no pool of this rehearsal is called {throttled!r}",
                hint=f"it has {', '.join(told['pools'])}",
            )
        pool = told["pools"][throttled]
        pool["limits"] = _cut(pool["limits"])
    return told


def _serving(catalog: Catalog, models: Iterable[CloudModel]) -> dict[str, Any]:
    """A profile of these models, each with the limits of the first account that reaches it."""
    told: dict[str, Any] = {"keys": [KEY], "pools": {}, "shared": {}, "models": {}}
    for model in models:
        account = catalog.accounts_for(model)[0]
        spec = catalog.pool(account, model)
        pool: dict[str, Any] = {"limits": spec.limits}
        if common := catalog.shared_pool(account):
            told["shared"][common.name] = {"limits": common.limits}
            pool["shared"] = common.name
        told["pools"][spec.name] = pool
        told["models"][model.id] = {"pool": spec.name}
    return told


def served_all(catalog: Catalog) -> dict[str, Any]:
    """A profile of every model that Anthropic and Gemini have, with the limits of the accounts."""
    played = ("anthropic", "gemini")
    return _serving(catalog, [one for one in catalog.models.values() if one.provider in played])


def _cut(limits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "limit": max(1, row["limit"] // THROTTLED_TO)} if "limit" in row else dict(row)
        for row in limits
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise NotFound(f"{path} cannot be read: {reason}") from None


def _read(table: dict[str, Any], source: str) -> Scenario:
    _known(table, _KEYS, source)
    agents = [
        _agents(row, f"{source}: [[agents]] {number}")
        for number, row in enumerate(toml.rows(table, "agents", source), 1)
    ]
    if not agents:
        raise ConfigError(f"{source}: there are no [[agents]] in it")
    accounts = [read_account(row, source) for row in toml.rows(table, "account", source)]
    pace = table.get("pace", {})
    if not isinstance(pace, dict):
        raise ConfigError(f"{source}: write the pace as a [pace] table")
    scenario = Scenario(
        title=str(table.get("title", Path(source).stem)),
        minutes=_number(table.get("minutes"), f"{source}: minutes", high=_LONGEST_MINUTES),
        accounts=_all_accounts(accounts, source),
        agents=agents,
        pace=_pace(pace, f"{source}: [pace]"),
        paces={
            name: _pace(own, f"{source}: [pace.{name!r}]")
            for name, own in pace.items()
            if isinstance(own, dict)
        },
    )
    _check_models(scenario, source)
    return scenario


def _all_accounts(accounts: list[Account], source: str) -> list[Account]:
    """Those of the file, and the default one of a provider that is not named."""
    for account in accounts:
        twins = [one for one in accounts if one.queue == account.queue]
        if len(twins) > 1:
            raise ConfigError(f"{source}: a rehearsal plays one account of {account.queue}")
    named = {account.provider for account in accounts}
    missing = [name for name in ("anthropic", "gemini") if name not in named]
    return [*accounts, *(read_account({"provider": name}, source) for name in missing)]


def _agents(row: Mapping[str, Any], place: str) -> Agents:
    _known(row, set(_AGENTS_KEYS), place)
    if missing := [key for key in _AGENTS_KEYS if key not in row]:
        raise ConfigError(f"{place}: {missing[0]} is missing")
    model = row["model"]
    if not isinstance(model, str):
        raise ConfigError(f"{place}: model is {model!r} but must be a name")
    local = model == LOCAL or model.endswith(".gguf")
    count, calls, prompt, longest = (_whole(row, key, place) for key in _AGENTS_KEYS[1:])
    return Agents(model, count, calls, prompt, longest, local)


def _check_models(scenario: Scenario, source: str) -> None:
    catalog = scenario.catalog()
    for agents in scenario.cloud:
        try:
            model = catalog.model(agents.model)
            for account in catalog.accounts_for(model):
                catalog.limits(account, model.group)
        except (NotFound, ConfigError) as error:
            raise type(error)(f"{source}: {error.args[0]}", hint=error.hint) from None
        if agents.max_tokens > model.max_output:
            raise ConfigError(
                f"{source}: {model.id} answers with at most {model.max_output} tokens,"
                f" not {agents.max_tokens}"
            )


def _pace(row: Mapping[str, Any], place: str) -> dict[str, float]:
    own = {key: value for key, value in row.items() if not isinstance(value, dict)}
    _known(own, set(Pace.__slots__), place)
    return {key: _number(value, f"{place} {key}", low=0) for key, value in own.items()}


def _known(row: Mapping[str, Any], known: set[str], place: str) -> None:
    if unknown := sorted(set(row) - known):
        raise ConfigError(f"{place}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")


def _whole(row: Mapping[str, Any], key: str, place: str) -> int:
    value = row[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{place}: {key} is {value!r} but must be a whole number above 0")
    return value


def _number(value: Any, place: str, low: float = 0.01, high: float = 1e6) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{place} is {value!r} but must be a number from {low:g} to {high:g}")
    return float(value)
