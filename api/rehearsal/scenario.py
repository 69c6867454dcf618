"""A scenario to rehearse: accounts with their tiers, agents with their calls, the models' pace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from lmx.workflows.errors import NotFound
from lmx.workflows.providers import toml
from lmx.workflows.providers.catalog import Account, Catalog

#: The key that the faithful provider takes. It opens nothing.
KEY: Final = "rehearsal-key"
_LETTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Agents:
    """`count` agents that make `calls` calls each."""

    model: str
    count: int
    calls: int
    prompt_tokens: int
    max_tokens: int

    @property
    def prompt(self) -> str:
        """A prompt of about so many tokens."""
        return "tide " * (self.prompt_tokens * _LETTERS_PER_TOKEN // 5)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is rehearsed, for so many minutes by the providers' clock."""

    title: str
    minutes: float
    accounts: Sequence[Account]
    agents: Sequence[Agents]
    pace: Mapping[str, float] = field(default_factory=dict)


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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from None


def _read(table: dict[str, Any], source: str) -> Scenario:
    from lmx.workflows.errors import ConfigError

    try:
        return Scenario(
            title=table["title"],
            minutes=float(table["minutes"]),
            accounts=[
                Account(row["provider"], row.get("name", "default"), str(row["tier"]))
                for row in toml.rows(table, "account", source)
            ],
            agents=[Agents(**row) for row in toml.rows(table, "agents", source)],
            pace=table.get("pace", {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{source}: cannot be rehearsed: {error}") from None


def served(scenario: Scenario, catalog: Catalog) -> dict[str, Any]:
    """The profile that the faithful provider serves: the same limits, enforced by its own means."""
    pools: dict[str, Any] = {}
    models: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    for agents in scenario.agents:
        model = catalog.model(agents.model)
        account = next(one for one in scenario.accounts if one.provider == model.provider)
        spec = catalog.pool(account, model)
        pools[spec.name] = {"limits": spec.limits}
        if common := catalog.shared_pool(account):
            shared[common.name] = {"limits": common.limits}
            pools[spec.name]["shared"] = common.name
        models[model.id] = {"pool": spec.name, **scenario.pace}
    return {"keys": [KEY], "pools": pools, "shared": shared, "models": models}
