"""What may be spent, as the [[budget]] tables of providers.toml say it."""

from collections.abc import Collection, Mapping
from typing import Any

from lmx.workflows.allowances.rules import FILE, Allowance, allowance
from lmx.workflows.allowances.words import UNITS
from lmx.workflows.errors import ConfigError, InvalidInput
from lmx.workflows.providers import toml

_OPTIONS = ("per", "account", "zone")


def read_allowance(row: Mapping[str, Any], accounts: Collection[str], source: str) -> Allowance:
    """The allowance of one table, which may be for one of the `accounts` (`provider/name`).

    Raises ConfigError, one line naming `source`.
    """
    toml.refuse_unknown(row, {*_OPTIONS, *UNITS}, source, "budget")
    named = [unit for unit in UNITS if unit in row]
    if len(named) != 1:
        raise ConfigError(f"{source}: a budget has one amount: {', '.join(UNITS)}")
    options = {key: str(row[key]) for key in _OPTIONS if key in row}
    if "account" in row and str(row["account"]) not in accounts:
        known = ", ".join(sorted(accounts))
        raise ConfigError(
            f"{source}: a budget is for no account, {row['account']!r}; known: {known}"
        )
    try:
        return allowance(str(row[named[0]]), unit=named[0], origin=FILE, **options)
    except InvalidInput as error:
        raise ConfigError(f"{source}: a budget: {error}") from None
