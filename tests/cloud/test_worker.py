"""A provider's worker process at work: calls through queue, limits, SDK and books."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmx.workflows.budgets import check_budgets
from lmx.workflows.client import Client
from lmx.workflows.errors import BudgetExceeded, InvalidInput, NotFound, TaskFailed
from lmx.workflows.pools import list_pools
from tests.support.eventually import eventually
from tests.support.rehearsed import HAIKU, KEY, Rehearsed
from tests.support.workers import WorkerProcess, Workers

pytestmark = pytest.mark.leaves_open
Start = Callable[..., WorkerProcess]

ACCOUNT = """
[[account]]
provider = "anthropic"
tier = 4
base_url = "{url}"
"""


@pytest.fixture
def start(workers: Workers, rehearsed: Rehearsed) -> Iterator[Start]:
    """Starts workers of the account at the faithful provider."""
    (workers.folder / "providers.toml").write_text(ACCOUNT.format(url=rehearsed.url))

    def start(**settings: str) -> WorkerProcess:
        worker = workers.start("anthropic", **{"ANTHROPIC_API_KEY": KEY, **settings})
        workers.serving(worker)
        return worker

    yield start


def ask(client: Client, **how: Any) -> int:
    return client.generate(model=HAIKU, **{"prompt": "Count.", "max_tokens": 50, **how})


def row(client: Client, query: str, *args: Any) -> Any:
    with client.database.connect() as conn:
        return conn.execute(query, args).fetchone()


def test_a_cloud_call_is_answered_paid_and_trued_up(client: Client, start: Start) -> None:
    start()
    task = ask(client, budget={"usd": 1_000_000_000})
    view = client.wait(task, timeout=20)
    assert view.state == "succeeded"
    assert view.output["model"] == HAIKU
    used = view.usage
    assert used is not None
    assert len(view.output["text"]) == 4 * used["completion_tokens"]
    assert used["cost"] == used["prompt_tokens"] * 100 + used["completion_tokens"] * 500
    assert row(client, "SELECT spent, held FROM lmx.budgets") == (used["cost"], 0)
    with client.database.connect() as conn:
        pool = next(p for p in list_pools(conn) if p.name == "anthropic/default/haiku")
    tokens = next(limit for limit in pool.limits if limit.of == "output_tokens")
    assert tokens.used <= used["completion_tokens"]
    assert check_budgets(client.database) == []


def test_many_calls_are_in_flight_in_one_process(
    client: Client, start: Start, rehearsed: Rehearsed
) -> None:
    rehearsed.fail({"kind": "hang", "count": 40})
    before = rehearsed.counts("haiku").get("fault: hang", 0)
    start()
    for _ in range(40):
        ask(client)
    eventually(lambda: rehearsed.counts("haiku").get("fault: hang", 0) - before == 40, "40 calls")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("billing", "billing"), ("malformed", "malformed_answer")],
)
def test_what_no_other_attempt_would_mend_fails_and_says_why(
    client: Client, start: Start, rehearsed: Rehearsed, fault: str, kind: str
) -> None:
    rehearsed.fail({"kind": fault, "count": None})
    start()
    task = ask(client, timeout=15) if fault == "billing" else ask(client)
    with client.database.connect() as conn:
        conn.execute("UPDATE lmx.tasks SET max_attempts = 1 WHERE id = %s", [task])
    view = client.wait(task, timeout=20)
    assert view.state == "failed"
    assert view.error is not None
    assert view.error["kind"] == kind


@pytest.mark.parametrize("fault", ["overloaded", "rate_limited", "server_error", "midstream"])
def test_what_passes_is_waited_out(
    client: Client, start: Start, rehearsed: Rehearsed, fault: str
) -> None:
    rehearsed.fail({"kind": fault, "count": 1})
    start()
    task = ask(client)
    assert client.result(task, timeout=30)["model"] == HAIKU


def test_a_wrong_key_fails_the_call_opens_the_breaker_and_shows_nothing_of_itself(
    client: Client, start: Start, workers: Workers
) -> None:
    wrong = "sk-wrong-77aa31f0c4"
    start(ANTHROPIC_API_KEY=wrong)
    task = ask(client)
    with pytest.raises(TaskFailed, match=r"\[key\]"):
        client.result(task, timeout=20)
    waiting = ask(client)
    with client.database.connect() as conn:
        pool = next(p for p in list_pools(conn) if p.name == "anthropic/default/haiku")
        assert (pool.breaker, pool.breaker_kind) == ("open", "credentials")
        tables = conn.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'lmx'"
        ).fetchall()
        for (table,) in tables:
            rows = conn.execute(f"SELECT t::text FROM lmx.{table} t").fetchall()
            assert not any(wrong in text for (text,) in rows), table
    assert client.wait(task, timeout=1).state == "failed"
    assert row(client, "SELECT state FROM lmx.tasks WHERE id = %s", waiting) == ("ready",)
    assert wrong not in workers.log.read_text()


def test_a_killed_worker_s_calls_are_charged_at_their_hold_and_repeated(
    client: Client, start: Start, rehearsed: Rehearsed
) -> None:
    rehearsed.fail({"kind": "hang", "count": 8})
    before = rehearsed.counts("haiku").get("fault: hang", 0)
    worker = start()
    tasks = [ask(client, budget={"usd": 100_000_000}) for _ in range(8)]
    eventually(lambda: rehearsed.counts("haiku").get("fault: hang", 0) - before == 8, "8 calls")
    worker.kill()
    start()
    for task in tasks:
        assert client.result(task, timeout=30)["model"] == HAIKU
    reasons = "SELECT count(*) FROM lmx.charges WHERE reason = %s"
    assert row(client, reasons, "unknown") == (8,)
    assert row(client, reasons, "settled") == (8,)
    assert check_budgets(client.database) == []


def test_a_call_that_cannot_be_meant_is_refused_at_submission(client: Client, start: Start) -> None:
    start()
    with pytest.raises(NotFound):
        client.generate(model="claude-haiku-9", prompt="Count.")
    with pytest.raises(InvalidInput, match="answers with at most"):
        ask(client, max_tokens=10_000_000)
    with pytest.raises(BudgetExceeded):
        ask(client, budget={"usd": 1})
