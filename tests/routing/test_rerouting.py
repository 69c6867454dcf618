"""Calls that wait longer than their rule lets them move to where there is room, once, whole."""

import threading
from typing import Any

import pytest

from lmx.workflows import operations
from lmx.workflows.allowances.rules import Allowance, set_allowance
from lmx.workflows.budgets import check_budgets
from lmx.workflows.control import retry
from lmx.workflows.operations import Operation, encode
from lmx.workflows.providers.planning import placed
from lmx.workflows.routing import moving
from lmx.workflows.routing.planning import Asked, plan_asked
from lmx.workflows.routing.rerouting import reroute_due
from lmx.workflows.sql import statement
from lmx.workflows.submission import budget_rows
from tests.routing.test_submission import FLASH, HAIKU, TWO
from tests.support.hands import Hands, until_blocked_by
from tests.support.plans import indexes_used, tables_scanned
from tests.support.routes import Routes


@pytest.fixture
def two(routes: Routes) -> Routes:
    routes.rules(TWO)
    return routes


def test_a_call_whose_pool_breaks_moves_whole(two: Routes) -> None:
    task = two.ask(budget={"usd": 1_000_000_000})
    two.break_(HAIKU)
    assert two.reroute() == 1
    assert two.where(task) == ("gemini", FLASH, "gemini-3.8-flash")
    first, second = two.decisions(task)
    assert (second.reason, second.model) == ("rerouted", "gemini-3.8-flash")
    assert second.why.startswith("moved from claude-haiku-5-5: a wait of")
    placed = two.conn.execute("SELECT pool_id, model FROM lmx.calls").fetchall()
    pool = two.hands.value("SELECT id FROM lmx.pools WHERE name = %s", FLASH)
    assert placed == [(pool, "gemini-3.8-flash")]
    assert two.hands.value("SELECT reserve FROM lmx.budgets") == second.cost != first.cost
    assert two.hands.value("SELECT kind FROM lmx.events") == "rerouted"
    assert two.reroute() == 0


def test_a_call_stays_where_its_rule_lets_it_wait(two: Routes) -> None:
    task = two.ask("patient")
    two.break_(HAIKU)
    assert two.reroute() == 0
    assert two.where(task)[1] == HAIKU


def test_a_call_stays_while_its_pool_is_good_or_nothing_is_better(two: Routes) -> None:
    task = two.ask()
    assert two.reroute() == 0
    two.break_(HAIKU)
    two.break_(FLASH)
    assert two.reroute() == 0
    assert two.where(task)[1] == HAIKU
    assert reroute_due(two.conn) == 0, "it is not looked at again at once"


def test_a_call_that_waits_for_an_allowance_moves_to_who_has_money(two: Routes) -> None:
    task = two.ask()
    set_allowance(two.conn, Allowance("anthropic/default", "calls", "day", "UTC", 1))
    two.conn.execute(statement("open_periods"))
    two.conn.execute("UPDATE lmx.allowance_periods SET spent = 1")
    until = {"task": task, "until": 4e9, "reason": "no money"}
    two.conn.execute(statement("defer_calls"), {"calls": encode([until])})
    assert two.hands.state(task) == "scheduled"
    assert two.where(two.ask())[1] == FLASH, "a new call goes there at once"
    assert two.reroute() == 1
    assert two.where(task)[1] == FLASH
    assert two.hands.state(task) == "ready"
    assert "1 calls spent" in two.decisions(task)[1].why


def test_a_call_that_began_or_ended_stays(two: Routes) -> None:
    begun = two.ask()
    lease = two.take("anthropic")
    two.break_(HAIKU)
    assert two.reroute() == 0
    assert two.where(begun)[1] == HAIKU
    two.hands.finish(lease)
    assert two.reroute() == 0
    due = two.hands.value("SELECT count(*) FROM lmx.decisions WHERE again_at IS NOT NULL")
    assert due == 0, "it is never looked at again"


def test_a_dead_letter_that_is_put_back_may_go_elsewhere(two: Routes) -> None:
    task = two.ask()
    two.hands.fail(two.take("anthropic"))
    assert two.reroute() == 0
    two.break_(HAIKU)
    retry(two.hands.database, task)
    assert reroute_due(two.conn) == 1
    assert two.where(task)[1] == FLASH


def test_a_queue_without_a_worker_is_left(two: Routes) -> None:
    task = two.ask()
    two.serve("gemini")
    assert two.reroute() == 1
    assert two.where(task)[1] == FLASH


def test_a_call_moves_to_a_local_model_and_out_of_all_pools(routes: Routes) -> None:
    name = routes.local()
    routes.rules('[[rule]]\nname="d"\nroute="r"\ndivert=true\nmodels=["claude-haiku-5-5", "local"]')
    task = routes.ask(budget={"usd": 1_000_000_000}, max_tokens=None)
    limit = "SELECT time_limit_ms FROM lmx.tasks"
    assert routes.hands.value(limit) > 0, "a call in the cloud does not take for ever"
    routes.break_(HAIKU)
    assert routes.reroute() == 1
    assert routes.where(task) == ("gpu", None, name)
    assert routes.hands.value(limit) is None
    assert routes.hands.value("SELECT count(*) FROM lmx.calls") == 0
    assert routes.hands.value("SELECT lost FROM lmx.budgets") == "release"
    given = routes.take("gpu").input
    assert (given["n_ctx"], given["max_tokens"]) == (512, 256), "as its own model has it"


def test_a_decision_that_cannot_be_understood_holds_up_no_other(two: Routes) -> None:
    odd, task = two.ask(), two.ask()
    two.conn.execute("UPDATE lmx.decisions SET terms = '{\"x\": 1}' WHERE task_id = %s", [odd])
    two.break_(HAIKU)
    assert two.reroute() == 1
    assert (two.where(odd)[1], two.where(task)[1]) == (HAIKU, FLASH)
    assert two.reroute() == 0


def test_a_busy_device_is_left_for_the_cloud_where_the_rule_allows_it(routes: Routes) -> None:
    routes.local()
    routes.rules(
        '[[rule]]\nname="d"\nroute="r"\nmax_wait="30s"\nmodels=["local", "claude-haiku-5-5"]'
    )
    for _ in range(2):
        routes.ask(private=True)
        routes.hands.finish(routes.take("gpu"))
    routes.conn.execute("UPDATE lmx.tasks SET started_at = finished_at - interval '20 s'")
    queues = [routes.where(routes.ask())[0] for _ in range(3)]
    assert queues == ["gpu", "gpu", "anthropic"], "two before it take 40 s"
    routes.conn.execute("UPDATE lmx.tasks SET started_at = finished_at - interval '90 s'")
    assert routes.reroute() == 1, "the first of the two has nobody before it"


def test_a_claim_that_is_on_its_way_wins(two: Routes) -> None:
    task = two.ask()
    two.break_(HAIKU)
    other = Hands(two.hands.database, "other")
    two.is_due()
    moved: list[int] = []
    with two.conn.transaction():
        two.conn.execute("SELECT FROM lmx.tasks WHERE id = %s FOR NO KEY UPDATE", [task])
        mover = threading.Thread(target=lambda: moved.append(reroute_due(other.conn)))
        mover.start()
        until_blocked_by(two.hands, Hands(two.hands.database, "watcher"))
        two.take("anthropic")
    mover.join()
    assert moved == [0]
    assert two.where(task)[1] == HAIKU
    assert two.hands.value("SELECT count(*) FROM lmx.decisions") == 1
    other.close()


def test_a_move_that_is_on_its_way_hides_the_call_from_claims(
    two: Routes, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = two.ask()
    two.break_(HAIKU)
    other = Hands(two.hands.database, "other")
    other.conn.execute("UPDATE lmx.workers SET queues = '{anthropic,gemini}'")
    seen: list[Any] = []
    record = moving.record

    def while_moving(*args: Any) -> None:
        seen.append([len(other.claim("anthropic")), len(other.claim("gemini"))])
        record(*args)

    monkeypatch.setattr(moving, "record", while_moving)
    assert two.reroute() == 1
    assert seen == [[0, 0]]
    assert [lease.task_id for lease in other.claim("gemini")] == [task]
    other.close()


def test_a_move_that_is_cut_off_leaves_everything_as_it_was(
    two: Routes, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = two.ask(budget={"usd": 1_000_000_000})
    two.break_(HAIKU)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moving, "record", killed)
    before = two.conn.execute("SELECT * FROM lmx.tasks, lmx.calls, lmx.budgets").fetchall()
    with pytest.raises(KeyboardInterrupt):
        two.reroute()
    assert two.conn.execute("SELECT * FROM lmx.tasks, lmx.calls, lmx.budgets").fetchall() == before
    monkeypatch.undo()
    two.conn.execute("SELECT 1")
    assert reroute_due(two.conn) == 1
    assert two.where(task)[1] == FLASH


def test_a_system_without_waiting_calls_pays_one_look_into_an_index(two: Routes) -> None:
    two.ask()
    two.conn.execute(
        "INSERT INTO lmx.decisions (task_id, reason, route, rule, rules_version, model, cost, why,"
        " features, candidates, terms, models) SELECT n, 'submitted', 'r', 'two', 'v', 'm', 1, '',"
        " '{}', '[]', '{}', '[]' FROM generate_series(1000, 6000) n"
    )
    two.conn.execute("ANALYZE lmx.decisions")
    query = "EXPLAIN (FORMAT JSON) " + statement("any_due_decision")
    plan = two.hands.value(query)[0]["Plan"]
    assert indexes_used(plan, "decisions") == {"decisions_due"}
    assert tables_scanned(plan) == set()


def spawned(two: Routes, ceiling: int) -> tuple[int, int]:
    """A run with so much money whose coordinator has spawned one call; both ids."""
    run = two.hands.submit(budgets={"usd": ceiling})
    lease = two.hands.mind()
    asked = Asked(route="r", prompt="Count.", max_tokens=50, run=run, budget={"usd": ceiling})
    call = plan_asked(two.conn, asked)
    terms = call.terms()
    operation = Operation(
        "spawn",
        lease.task_id,
        lease.seq,
        {
            **{"key": "call", "name": "generate", "queue": call.queue, "role": "worker"},
            **{"nesting": 0, "priority": 0, "cost": 1.0, "delay": None, "max_attempts": 3},
            **{"time_limit_ms": None, "timeout": None, "budgeted": bool(terms.reserve)},
            "input": call.input,
        },
        budgets=budget_rows(terms.reserve, terms.reserve, lost=terms.lost, derived=True),
        pool=placed({}, terms.placement) if terms.placement else None,
        decision=terms.decision,
    )
    with two.conn.transaction():
        (applied,) = operations.apply(two.conn, [operation])
    assert applied.row is not None
    return run, applied.row[2]


def ceilings(two: Routes) -> dict[int, tuple[int, int]]:
    rows = two.conn.execute("SELECT task_id, ceiling, granted FROM lmx.budgets").fetchall()
    return {task: (ceiling, granted) for task, ceiling, granted in rows}


def test_a_child_s_ceiling_follows_what_it_can_cost(two: Routes) -> None:
    run, child = spawned(two, 1_000_000_000)
    two.break_(HAIKU)
    assert two.reroute() == 1
    cost = two.decisions(child)[1].cost
    assert ceilings(two) == {run: (1_000_000_000, cost), child: (cost, 0)}
    assert check_budgets(two.hands.database) == []


def test_a_child_whose_parent_cannot_pay_for_it_stays(two: Routes) -> None:
    haiku = two.decisions(spawned(two, 1_000_000_000)[1])[0].cost
    run, child = spawned(two, haiku + 1)
    two.break_(HAIKU)
    two.reroute()
    assert two.where(child)[1] == HAIKU
    assert ceilings(two)[run] == (haiku + 1, haiku)
    assert check_budgets(two.hands.database) == []


def test_a_free_child_is_paid_for_when_it_leaves_for_the_cloud(routes: Routes) -> None:
    routes.local()
    routes.conn.execute("UPDATE lmx.models SET usd_nano_per_mtok_in = 0, usd_nano_per_mtok_out = 0")
    routes.rules('[[rule]]\nname="d"\nroute="r"\ndivert=true\nmodels=["local", "claude-haiku-5-5"]')
    run, child = spawned(routes, 1_000_000_000)
    assert routes.where(child)[0] == "gpu"
    assert child not in ceilings(routes)
    routes.serve("anthropic")
    assert routes.reroute() == 1
    cost = routes.decisions(child)[1].cost
    assert ceilings(routes) == {run: (1_000_000_000, cost), child: (cost, 0)}
    assert routes.hands.value("SELECT budgeted FROM lmx.tasks WHERE id = %s", child)
