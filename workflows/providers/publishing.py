"""The catalog in the database: workers write what they serve, whoever submits a call reads it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf
from typing import Any, Final

import psycopg

from lmx.workflows.allowances.rules import follow_file
from lmx.workflows.operations import encode
from lmx.workflows.pools import SHARED, put_pool
from lmx.workflows.providers.batching import of_batches
from lmx.workflows.providers.catalog import Account, Catalog, CloudModel
from lmx.workflows.providers.granted import Granted, as_granted, by_group
from lmx.workflows.providers.pricing import Price, Prices
from lmx.workflows.sql import statement

_PRICE_COLUMNS: Final = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
)


_PUBLISHED: Final = (
    "SELECT name, provider, model_group, context, max_output, features, prices, price_version"
    " FROM lmx.cloud_models"
)


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A cloud model that some worker has served, with its prices."""

    model: CloudModel
    prices: Prices


@dataclass(frozen=True, slots=True)
class Choice:
    """A pool that could take a call: how many wait in it, and in how many seconds one may start.

    `account` is `provider/name`.
    """

    id: int
    name: str
    account: str
    queue: str
    ready: int
    next_in_s: float


def publish(
    conn: psycopg.Connection[Any],
    catalog: Catalog,
    accounts: Iterable[Account],
    prices: Prices,
    told: Mapping[str, Sequence[Granted]] | None = None,
) -> None:
    """Write down the models and pools of these accounts, and the allowances of the catalog.

    `told` is what the provider itself grants, by the account's name. Raises ConfigError for bad
    limits.
    """
    follow_file(conn, catalog.allowances)
    for account in accounts:
        with conn.transaction():
            _lock_pools(conn, account)
            granted = by_group(catalog, account, (told or {}).get(account.name, ()))
            common = catalog.shared_pool(account)
            shared = None if common is None else put_pool(conn, common)
            for model in catalog.models.values():
                if account in catalog.accounts_for(model):
                    fixed = account.fixed or model.group in account.limits
                    spec = catalog.pool(account, model)
                    spec = as_granted(spec, granted.get(model.group, {}), fixed=fixed)
                    put_pool(conn, spec, shared)
                    if catalog.batch_terms(account) is not None:
                        put_pool(conn, catalog.batch_pool(account, model))
                    _put_model(conn, model, prices)


def try_keys_again(conn: psycopg.Connection[Any], account: Account) -> None:
    """Close the breakers that a refused key has opened: a worker that starts may have another."""
    mine = [account.provider, account.name]
    with conn.transaction():
        _lock_pools(conn, account)
        conn.execute(
            "UPDATE lmx.pools SET state = state - 'breaker', next_at = NULL, waits_for = NULL"
            " WHERE provider = %s AND account = %s"
            " AND state #>> '{breaker,kind}' = 'credentials'",
            mine,
        )
        conn.execute(
            "DELETE FROM lmx.pool_news n USING lmx.pools p WHERE p.id = n.pool_id"
            " AND p.provider = %s AND p.account = %s"
            " AND n.kind = 'failed' AND n.data ->> 'kind' = 'credentials'",
            mine,
        )


def _lock_pools(conn: psycopg.Connection[Any], account: Account) -> None:
    """Lock an account's pools in the order of the claims."""
    conn.execute(
        "SELECT FROM lmx.pools WHERE provider = %s AND account = %s"
        " ORDER BY model_group = %s, id FOR NO KEY UPDATE",
        [account.provider, account.name, SHARED],
    )


def _put_model(conn: psycopg.Connection[Any], model: CloudModel, prices: Prices) -> None:
    rows = [_written(row) for row in prices.rows if row.model == model.id]
    conn.execute(
        "INSERT INTO lmx.cloud_models (name, provider, model_group, context, max_output, features,"
        " prices, price_version) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET provider = excluded.provider,"
        " model_group = excluded.model_group, context = excluded.context,"
        " max_output = excluded.max_output, features = excluded.features,"
        " prices = excluded.prices, price_version = excluded.price_version, seen_at = now()",
        [
            model.id,
            model.provider,
            model.group,
            model.context,
            model.max_output,
            sorted(model.features),
            encode(rows),
            prices.version,
        ],
    )


def find_cloud_model(conn: psycopg.Connection[Any], name: str) -> PublishedModel | None:
    """The cloud model called `name`, or None."""
    query = f"{_PUBLISHED} WHERE name = %s"
    row = conn.execute(query, [name.replace("\x00", "")]).fetchone()
    return None if row is None else _published(row)


def published_models(conn: psycopg.Connection[Any]) -> list[PublishedModel]:
    """All cloud models that some worker has served, with their prices, by name."""
    return [_published(row) for row in conn.execute(f"{_PUBLISHED} ORDER BY name")]


def _published(row: Sequence[Any]) -> PublishedModel:
    model = _model(row)
    return PublishedModel(model, Prices(row[7], [_read(model.id, price) for price in row[6]]))


def is_cloud_model(conn: psycopg.Connection[Any], name: str) -> bool:
    """Whether a name stands for a cloud model; a local model of the same name comes first."""
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM lmx.cloud_models WHERE name = %(name)s)"
        " AND NOT EXISTS (SELECT FROM lmx.models WHERE name = %(name)s)",
        {"name": name.replace("\x00", "")},
    ).fetchone()
    return bool(row and row[0])


def list_cloud_models(conn: psycopg.Connection[Any]) -> list[CloudModel]:
    """All cloud models that some worker has served, by name."""
    return [known.model for known in published_models(conn)]


def pools_of(
    conn: psycopg.Connection[Any], model: CloudModel, *, batched: bool = False
) -> list[Choice]:
    """The pools in which a model's calls can count, the one that is free soonest first.

    Those come last that no worker with the account's key serves now, or whose breaker is open. With
    `batched`, those of its calls that go in batches: none if the model has no batches.
    """
    group = of_batches(model.group) if batched else model.group
    asked = {"provider": model.provider, "group": group}
    rows = conn.execute(statement("pools_of"), asked, prepare=True)
    return [Choice(*row) for row in rows]


def _model(row: Sequence[Any]) -> CloudModel:
    """A model from its first six columns."""
    return CloudModel(row[0], row[1], row[2], row[3], row[4], frozenset(row[5]))


def _written(price: Price) -> dict[str, Any]:
    row: dict[str, Any] = {column: getattr(price, column) for column in _PRICE_COLUMNS}
    row["since"], row["batch"] = price.since.isoformat(), str(price.batch)
    return row if price.up_to == inf else {**row, "up_to": price.up_to}


def _read(model: str, row: Mapping[str, Any]) -> Price:
    return Price(
        model=model,
        since=date.fromisoformat(row["since"]),
        up_to=row.get("up_to", inf),
        batch=Decimal(row["batch"]),
        **{column: int(row[column]) for column in _PRICE_COLUMNS},
    )


def now() -> datetime:
    """The time at which a price is looked up."""
    return datetime.now(UTC)
