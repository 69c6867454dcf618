"""Two accounts of one provider: calls that name a model go where they are answered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workers.cloud import outcome
from lmx.workers.cloud.errors import Failure, by_provider
from lmx.workers.cloud.intake import CloudIntake
from lmx.workflows.accounts import Twin, even_out, shifts
from lmx.workflows.allowances.rules import Allowance, set_allowance
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.operations import encode
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish, try_keys_again
from lmx.workflows.routing.diverting import divert
from lmx.workflows.sql import statement
from lmx.workflows.views import model_calls
from tests.support.command import Lmx
from tests.support.routes import Routes

MODEL = "claude-haiku-5-5"
HOME, WORK = "anthropic/home/haiku", "anthropic/work/haiku"
ACCOUNTS = """
[[account]]
provider = "anthropic"
name = "home"
tier = 1
[[account]]
provider = "anthropic"
name = "work"
tier = 2
key_env = "WORK_KEY"
"""


@pytest.fixture
def two(
    database: Database, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Routes]:
    """Both accounts, served by one worker."""
    monkeypatch.setenv("LMX_HOME", str(tmp_path))
    (tmp_path / "providers.toml").write_text(ACCOUNTS)
    catalog = load_catalog(tmp_path)
    two = Routes(database, client, tmp_path)
    two.conn.execute("DELETE FROM lmx.pools")
    publish(two.conn, catalog, catalog.accounts, load_prices())
    serve(two, "home", "work")
    yield two
    two.hands.close()


def serve(two: Routes, *accounts: str) -> None:
    queues = ["anthropic", *(f"anthropic/{name}" for name in accounts)]
    two.conn.execute("UPDATE lmx.workers SET queues = %s", [queues])


def ask(two: Routes, count: int = 1, **how: object) -> list[int]:
    asked = {"prompt": "Count.", "max_tokens": 50, **how}
    return [two.client.generate(model=MODEL, **asked) for _ in range(count)]  # type: ignore[arg-type]


def spread(two: Routes) -> dict[str, int]:
    """How many calls wait in each pool."""
    rows = two.conn.execute(
        "SELECT p.name, count(*) FROM lmx.tasks t JOIN lmx.pools p ON p.id = t.pool_id"
        " WHERE t.state = 'ready' GROUP BY 1"
    )
    return dict(rows.fetchall())


def test_a_worker_claims_for_the_accounts_whose_keys_it_has(two: Routes) -> None:
    ask(two, 4)
    intake = CloudIntake("anthropic", 8, lambda: two.hands.worker, ["work"])
    with two.conn.transaction():
        claimed = intake.claim(two.conn, 8)()
    assert [intake.place(lease.task_id).pool for lease in claimed] == [WORK, WORK]
    assert spread(two) == {HOME: 2}


def test_a_call_is_put_where_somebody_serves_it_and_no_breaker_is_open(two: Routes) -> None:
    serve(two, "work")
    ask(two, 2)
    assert spread(two) == {WORK: 2}
    serve(two, "home", "work")
    two.conn.execute(
        'UPDATE lmx.pools SET state = \'{"breaker": {"until": 9e9}}\' WHERE name = %s', [HOME]
    )
    ask(two, 2)
    assert spread(two) == {WORK: 4}


def test_what_waits_for_nobody_says_so_and_goes_to_the_other_account(two: Routes) -> None:
    tasks = ask(two, 4)
    serve(two, "work")
    stuck = next(task for task in tasks if two.where(task)[1] == HOME)
    waits = model_calls(two.hands.database, stuck)[stuck].waits_for
    assert waits == "no worker serves anthropic/home now"
    assert even_out(two.conn) == 2
    assert spread(two) == {WORK: 4}
    assert even_out(two.conn) == 0


def test_who_waits_for_an_answer_is_told_what_keeps_the_call_from_starting(
    two: Routes, lmx: Lmx
) -> None:
    (task,) = ask(two)
    serve(two)
    result = lmx("wait", task, "--timeout", "0.1")
    assert (result.code, result.out) == (4, "")
    assert f"{task} waits: no worker serves anthropic/home now" in result.err


def test_calls_that_the_other_account_can_never_make_stay(two: Routes) -> None:
    large = ask(two, 2, prompt="x" * 240_000)
    ask(two, 2)
    serve(two, "home")
    even_out(two.conn)
    assert sorted(pool for pool in (two.where(task)[1] for task in large) if pool == WORK) == [WORK]
    assert spread(two) == {HOME: 3, WORK: 1}


def test_calls_that_a_route_has_placed_are_left_to_its_rule(two: Routes) -> None:
    two.rules('[[rule]]\nname="r"\nroute="r"\nmodels=["claude-haiku-5-5"]')
    for _ in range(2):
        two.ask()
    before = spread(two)
    serve(two, *({"home", "work"} - {name.split("/")[1] for name in before}))
    assert even_out(two.conn) == 0
    assert spread(two) == before


def test_a_call_that_an_account_does_not_know_is_made_with_the_other_while_it_has_attempts(
    two: Routes,
) -> None:
    (task,) = ask(two, budget={"usd": 1_000_000_000})
    asked = two.where(task)[1]
    tried = []
    while True:
        lease = two.take("anthropic")
        error = by_provider(Failure.UNKNOWN_MODEL, "404")
        tried.append(two.where(task)[1])
        if not divert(two.conn, outcome.elsewhere(lease, error, 0.1), str(error)):
            break
    assert tried[:2] == ([HOME, WORK] if asked == HOME else [WORK, HOME])
    assert len(tried) == lease.max_attempts
    assert two.hands.value("SELECT data ->> 'because' FROM lmx.events LIMIT 1") == str(error)


def test_a_refused_key_is_no_attempt_and_the_call_does_not_come_back_to_it(two: Routes) -> None:
    ask(two)
    for goes in (True, False):
        lease = two.take("anthropic")
        error = by_provider(Failure.CREDENTIALS, "401")
        assert divert(two.conn, outcome.elsewhere(lease, error, 0.1), str(error)) == goes
    assert lease.attempts == 0


def test_a_breaker_that_is_about_to_open_counts_and_a_new_start_tries_the_key(two: Routes) -> None:
    two.break_(HOME, "credentials")
    ask(two, 2)
    assert spread(two) == {WORK: 2}
    (account,) = [one for one in load_catalog(two.home).accounts if one.name == "home"]
    try_keys_again(two.conn, account)
    ask(two, 2)
    assert spread(two) == {WORK: 2, HOME: 2}


def test_an_account_that_has_spent_its_allowance_leaves_its_calls_to_the_other(two: Routes) -> None:
    tasks = ask(two, 4)
    (rich, poor) = ("anthropic/work", "anthropic/home")
    set_allowance(two.conn, Allowance(poor, "calls", "day", "UTC", 1))
    two.conn.execute(statement("open_periods"))
    two.conn.execute("UPDATE lmx.allowance_periods SET spent = 1")
    waits = [task for task in tasks if two.where(task)[1] == HOME]
    rows = [{"task": task, "until": 4e9, "reason": "no money"} for task in waits]
    two.conn.execute(statement("defer_calls"), {"calls": encode(rows)})
    assert {two.where(task)[1] for task in ask(two, 3)} == {WORK}
    assert even_out(two.conn) == len(waits) == 2
    assert spread(two) == {WORK: 7}
    set_allowance(two.conn, Allowance(rich, "calls", "day", "UTC", 1))
    two.conn.execute(statement("open_periods"))
    two.conn.execute("UPDATE lmx.allowance_periods SET spent = 1")
    rows = [{"task": task, "until": 4e9, "reason": "no money"} for task in tasks]
    two.conn.execute(statement("defer_calls"), {"calls": encode(rows)})
    even_out(two.conn)
    assert {two.hands.state(task) for task in tasks} == {"scheduled"}, "nobody has money"


def test_an_idle_account_takes_half_of_the_longest_line() -> None:
    idle, busy = (
        Twin(1, "a", "anthropic/a", "haiku", True, 0),
        Twin(2, "b", "anthropic/b", "haiku", True, 9),
    )
    broken = Twin(3, "c", "anthropic/c", "haiku", False, 5)
    other = Twin(4, "d", "anthropic/d", "opus", True, 7)
    assert [(s.here, s.there, s.calls) for s in shifts([idle, busy, other])] == [(busy, idle, 4)]
    assert [(s.here, s.there, s.calls) for s in shifts([busy, broken])] == [(broken, busy, 5)]
    assert shifts([broken, other]) == []
    assert (
        shifts(
            [
                Twin(1, "a", "anthropic/a", "haiku", True, 0),
                Twin(2, "b", "anthropic/b", "haiku", True, 1),
            ]
        )
        == []
    )
