"""A provider's worker at work: calls through queue, limits, SDK and books."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows import control
from lmx.workflows.allowances.audit import check_allowances
from lmx.workflows.allowances.rules import allowance, set_allowance
from lmx.workflows.budgets import check_budgets
from lmx.workflows.client import Client
from lmx.workflows.errors import BudgetExceeded, InvalidInput, NotFound
from lmx.workflows.pools import list_pools
from tests.support.clouds import CLOUDS, running, settings_of, worker_of
from tests.support.eventually import eventually
from tests.support.rehearsed import HAIKU, KEY, Rehearsed
from tests.support.workers import WorkerProcess, Workers

pytestmark = pytest.mark.leaves_open("the driver's threads end a little later than the worker")
CLAUDE = CLOUDS["anthropic"]


@pytest.fixture
def worker(client: Client, rehearsed: Rehearsed, tmp_path: Path) -> Any:
    """A worker that does not serve yet."""
    return worker_of(CLAUDE, client.database, tmp_path, rehearsed.url)


def ask(client: Client, **how: Any) -> int:
    return client.generate(model=HAIKU, **{"prompt": "Count.", "max_tokens": 50, **how})


def row(client: Client, query: str, *args: Any) -> Any:
    with client.database.connect() as conn:
        return conn.execute(query, args).fetchone()


def test_a_cloud_call_is_answered_paid_and_trued_up(client: Client, worker: Any) -> None:
    with running(worker):
        view = client.wait(ask(client, budget={"usd": 1_000_000_000}), timeout=20)
    assert view.state == "succeeded"
    assert view.output["model"] == HAIKU
    used = view.usage
    assert used is not None
    assert len(view.output["text"]) == 4 * used["completion_tokens"]
    assert used["cost"] == used["prompt_tokens"] * 100 + used["completion_tokens"] * 500
    assert row(client, "SELECT spent, held FROM lmx.budgets") == (used["cost"], 0)
    with client.database.connect() as conn:
        pool = next(p for p in list_pools(conn) if p.name == CLAUDE.pool)
    tokens = next(limit for limit in pool.limits if limit.of == "output_tokens")
    assert tokens.used <= used["completion_tokens"]
    assert check_budgets(client.database) == []


def test_what_passes_is_waited_out(client: Client, worker: Any, rehearsed: Rehearsed) -> None:
    faults = ["overloaded", "rate_limited", "server_error", "midstream"]
    rehearsed.fail(*({"kind": kind, "count": 1} for kind in faults))
    with running(worker):
        for task in [ask(client) for _ in faults]:
            assert client.result(task, timeout=60)["model"] == HAIKU
    assert rehearsed.counts("haiku")["fault: midstream"] >= 1


def test_a_call_cancelled_in_the_middle_ends_its_request_and_is_charged_what_it_held(
    client: Client, worker: Any, rehearsed: Rehearsed
) -> None:
    rehearsed.fail({"kind": "slow", "count": 1})
    with running(worker):
        task = ask(client, budget={"usd": 100_000_000}, max_tokens=4000)
        (held,) = row(client, "SELECT reserve FROM lmx.budgets")
        eventually(lambda: rehearsed.counts("haiku").get("fault: slow"), "a call on its way")
        assert control.cancel(client.database, task) == 1
        eventually(lambda: worker.running.cancel([task]) == [task], "the end of the request")
        assert client.result(ask(client), timeout=20)["model"] == HAIKU
    assert row(client, "SELECT amount, reason FROM lmx.charges") == (held, "unknown")
    assert check_budgets(client.database) == []


def test_a_call_that_cannot_be_meant_is_refused_at_submission(
    client: Client, tmp_path: Path
) -> None:
    settings_of(CLAUDE, client.database, tmp_path, "http://127.0.0.1:9")
    with pytest.raises(NotFound):
        client.generate(model="claude-haiku-9", prompt="Count.")
    with pytest.raises(InvalidInput, match="answers with at most"):
        ask(client, max_tokens=10_000_000)
    with pytest.raises(BudgetExceeded):
        ask(client, budget={"usd": 1})
    with pytest.raises(InvalidInput, match="does not take grammar"):
        ask(client, grammar="root ::= [a-z]")
    with pytest.raises(InvalidInput, match="from 1024 to below max_tokens"):
        ask(client, thinking=1024, max_tokens=1024)


def test_a_kill_in_the_middle_of_64_calls_charges_and_repeats_these_and_no_other(
    client: Client, workers: Workers, rehearsed: Rehearsed
) -> None:
    settings_of(CLAUDE, client.database, workers.folder, rehearsed.url)
    with client.database.connect() as conn:
        set_allowance(conn, allowance("1000"))

    def start() -> WorkerProcess:
        return workers.start("anthropic", ANTHROPIC_API_KEY=KEY)

    def many(count: int, kind: str) -> dict[str, int]:
        prompts = [f"{kind} call {number} of {id(client)}" for number in range(count)]
        budget = {"usd": 100_000_000}
        return {prompt: ask(client, prompt=prompt, budget=budget) for prompt in prompts}

    before = rehearsed.counts("haiku").get("fault: hang", 0)
    killed = start()
    done = many(16, "finished")
    for task in done.values():
        client.wait(task, timeout=60)
    rehearsed.fail({"kind": "hang", "count": 64})
    flying = many(64, "flying")
    eventually(lambda: rehearsed.counts("haiku").get("fault: hang", 0) - before == 64, "64 calls")
    killed.kill()
    start()
    for task in (*done.values(), *flying.values()):
        assert client.result(task, timeout=60)["model"] == HAIKU
    asked = [json.dumps(body) for body in rehearsed.requests()]
    prompts = (*done, *flying)
    times = {prompt: sum(f'"{prompt}"' in body for body in asked) for prompt in prompts}
    assert times == dict.fromkeys(done, 1) | dict.fromkeys(flying, 2)
    with client.database.connect() as conn:
        ledger = "SELECT task_id, reason FROM lmx.{}"
        charged = conn.execute(ledger.format("charges")).fetchall()
        of_the_day = conn.execute(ledger.format("allowance_charges")).fetchall()
    once, twice = [(task, "settled") for task in done.values()], list(flying.values())
    assert sorted(charged) == sorted(
        once + [(task, reason) for task in twice for reason in ("settled", "unknown")]
    )
    assert sorted(of_the_day) == sorted(charged)
    assert check_budgets(client.database) == []
    assert check_allowances(client.database) == []
    assert KEY not in workers.log.read_text()
