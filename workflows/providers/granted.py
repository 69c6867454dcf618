"""What a provider itself says that an account may use, in place of what its tier says. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmx.workflows.pools import PoolSpec
from lmx.workflows.providers.catalog import Account, Catalog


@dataclass(frozen=True, slots=True)
class Granted:
    """The limits of some models, by our names of limits: {"requests/min": 50}."""

    models: Sequence[str]
    limits: Mapping[str, int]


def by_group(
    catalog: Catalog, account: Account, told: Iterable[Granted]
) -> dict[str, dict[str, int]]:
    """What is granted to each model group of an account, at the least if that is said twice."""
    groups: dict[str, dict[str, int]] = {}
    for one in told:
        known = (catalog.models.get(name) for name in one.models)
        for group in {
            model.group for model in known if model and model.provider == account.provider
        }:
            limits = groups.setdefault(group, {})
            for name, value in one.limits.items():
                limits[name] = min(value, limits.get(name, value))
    return groups


def as_granted(spec: PoolSpec, told: Mapping[str, int], *, fixed: bool) -> PoolSpec:
    """A pool with what its provider grants; `fixed` limits (a person's own) are never raised."""
    return replace(spec, limits=[_row(row, told, fixed=fixed) for row in spec.limits])


def _row(row: Mapping[str, Any], told: Mapping[str, int], *, fixed: bool) -> Mapping[str, Any]:
    granted = told.get(str(row["name"]), 0)
    if granted < 1 or "limit" not in row:
        return row
    return {**row, "limit": min(granted, row["limit"]) if fixed else granted}
