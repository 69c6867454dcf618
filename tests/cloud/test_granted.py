"""The limits that Anthropic tells an account's admin are used, as far as a person allows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workers.anthropic import granted
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workflows.database.connect import Database
from lmx.workflows.pools import list_pools
from lmx.workflows.providers.catalog import Account, Catalog, load_catalog
from lmx.workflows.providers.granted import Granted
from lmx.workflows.providers.keys import Key, find_admin_key
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from tests.support.rehearsed import HAIKU, KEY, Rehearsed, profile

ADMIN = "sk-admin-5b1c"
RPM = {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": 70}
OUTPUT = {"name": "output tokens/min", "of": "output_tokens", "kind": "bucket", "limit": 9_000}


@pytest.fixture(scope="module")
def organization() -> Iterator[Rehearsed]:
    served = profile({HAIKU: "haiku"}, {"haiku": [RPM, OUTPUT]})
    with Rehearsed({**served, "admin_keys": [ADMIN]}) as server:
        yield server


def test_an_admin_key_is_told_the_limits_of_each_group(organization: Rehearsed) -> None:
    account = Account("anthropic", "default", base_url=organization.url)
    (told,) = granted(account, Key(ADMIN))
    assert told == Granted((HAIKU,), {"requests/min": 70, "output tokens/min": 9_000})


def test_any_other_key_is_refused_and_so_is_a_server_that_is_not_there(
    organization: Rehearsed,
) -> None:
    with pytest.raises(ProviderError) as refused:
        granted(Account("anthropic", "default", base_url=organization.url), Key(KEY))
    assert refused.value.failure is Failure.CREDENTIALS
    with pytest.raises(ProviderError) as unreachable:
        granted(Account("anthropic", "default", base_url="http://127.0.0.1:9"), Key(ADMIN))
    assert unreachable.value.failure is Failure.UNREACHABLE


def rpm(database: Database, catalog: Catalog) -> dict[str, int]:
    """Requests a minute of the pools when Anthropic tells of 70 for haiku and 10 for opus."""
    told = [
        Granted((HAIKU, "claude-haiku-nobody-knows"), {"requests/min": 70}),
        Granted(("claude-opus-5-5",), {"requests/min": 10}),
    ]
    with database.connect() as conn:
        publish(conn, catalog, catalog.accounts[:1], load_prices(), {"default": told})
        return {
            pool.name.removeprefix("anthropic/default/"): limit.limit
            for pool in list_pools(conn)
            for limit in pool.limits
            if limit.name == "requests/min"
        }


def test_what_is_told_takes_the_place_of_what_nobody_has_set(database: Database) -> None:
    found = rpm(database, load_catalog())
    assert (found["haiku"], found["opus"], found["sonnet"]) == (70, 10, 50)


def test_what_a_person_has_set_is_lowered_only(database: Database, tmp_path: Path) -> None:
    (tmp_path / "providers.toml").write_text('[[account]]\nprovider = "anthropic"\ntier = 1\n')
    found = rpm(database, load_catalog(tmp_path))
    assert (found["haiku"], found["opus"], found["sonnet"]) == (50, 10, 50)


def test_an_admin_key_belongs_to_the_account_that_names_it() -> None:
    environ = {"ANTHROPIC_ADMIN_KEY": ADMIN, "WORK_ADMIN": "other"}
    default = next(one for one in load_catalog().accounts if one.provider == "anthropic")
    work = Account("anthropic", "work", admin_key_env="WORK_ADMIN")
    found = [find_admin_key(one, environ) for one in (default, work, Account("anthropic", "home"))]
    assert [key.reveal() if key else None for key in found] == [ADMIN, "other", None]
