"""What can never be paid is refused at submission; what can holds its worst case of every unit."""

from pathlib import Path

import pytest

from lmx.workflows.allowances.rules import allowance, set_allowance
from lmx.workflows.client import Client
from lmx.workflows.errors import BudgetExceeded
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from tests.support.rehearsed import HAIKU

ACCOUNTS = """
[[account]]
provider = "anthropic"
[[account]]
provider = "anthropic"
name = "work"
"""


@pytest.fixture
def published(client: Client, tmp_path: Path) -> Client:
    """A database in which two accounts can call the shipped models of Anthropic."""
    (tmp_path / "providers.toml").write_text(ACCOUNTS)
    catalog = load_catalog(tmp_path)
    with client.database.connect() as conn:
        publish(conn, catalog, catalog.accounts[:2], load_prices())
    return client


def ask(client: Client, **how: int | dict[str, int]) -> int:
    return client.generate(model=HAIKU, prompt="Count.", **{"max_tokens": 100, **how})


def limit(client: Client, amount: str, **how: str) -> None:
    with client.database.connect() as conn:
        set_allowance(conn, allowance(amount, **how))


def test_a_call_larger_than_an_allowance_is_refused_and_says_which(published: Client) -> None:
    limit(published, "0.00001", per="month")
    with pytest.raises(BudgetExceeded, match=r"more than the allowance of \$0.00001 a month"):
        ask(published)


def test_a_call_goes_to_an_account_that_may_pay_it(published: Client) -> None:
    limit(published, "10", unit="tokens", account="anthropic/default")
    task = ask(published)
    with published.database.connect() as conn:
        pool = conn.execute(
            "SELECT p.account FROM lmx.tasks t JOIN lmx.pools p ON p.id = t.pool_id"
            " WHERE t.id = %s",
            [task],
        ).fetchone()
    assert pool == ("work",)


def test_a_budget_in_tokens_or_calls_must_hold_the_call(published: Client) -> None:
    with pytest.raises(BudgetExceeded, match="138 tokens, more than its budget of 137 tokens"):
        ask(published, budget={"tokens": 137})
    task = ask(published, budget={"tokens": 138, "calls": 1, "seconds": 130})
    with published.database.connect() as conn:
        reserves = conn.execute(
            "SELECT unit, reserve FROM lmx.budgets WHERE task_id = %s ORDER BY unit", [task]
        ).fetchall()
        (limit_ms,) = conn.execute(
            "SELECT time_limit_ms FROM lmx.tasks WHERE id = %s", [task]
        ).fetchone() or (None,)
    assert reserves == [("calls", 1), ("seconds", 130), ("tokens", 138)]
    assert limit_ms == 130_000
