"""`lmx budget`: allowances are set and shown, runs drawn, sums checked."""

import json

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.pools import PoolSpec, put_pool
from tests.support.command import Lmx
from tests.support.hands import Hands, spawning


def test_an_allowance_is_set_shown_changed_and_ended(database: Database, lmx: Lmx) -> None:
    assert "5.00 a day" in lmx("budget", "set", "5.00").err
    lmx("budget", "set", "2000", "--unit", "calls", "--account", "anthropic/default")
    lmx("budget", "set", "7.50", "--zone", "Europe/Berlin")
    shown = [line.split("\t") for line in lmx("budget").out.splitlines()]
    assert [row[:2] for row in shown] == [
        ["$7.50 a day", "$0.00"],
        ["2,000 calls a day for anthropic/default", "0 calls"],
    ]
    told = json.loads(lmx("budget", "--json").out)["allowances"]
    assert [(one["ceiling"], one["zone"]) for one in told] == [
        (7_500_000_000, "Europe/Berlin"),
        (2000, "UTC"),
    ]
    assert lmx("budget", "unset").code == 0
    assert "there is no allowance of usd a day" in lmx("budget", "unset").err
    assert len(lmx("budget").out.splitlines()) == 1


def test_a_name_that_no_account_has_is_pointed_out(database: Database, lmx: Lmx) -> None:
    with database.connect() as conn:
        put_pool(conn, PoolSpec("anthropic", "anthropic", "default", "haiku", []))
    assert "no worker" not in lmx("budget", "set", "1", "--account", "anthropic/default").err
    mistyped = lmx("budget", "set", "1", "--account", "anthropic/defualt").err
    assert "no worker has served anthropic/defualt yet; served are anthropic/default" in mistyped


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["five"], "'five' is not an amount of dollars"),
        (["5", "--per", "week"], "'week' is no period"),
        (["5", "--zone", "Middle/Earth"], "'Middle/Earth' is no time zone"),
        (["5", "--account", "anthropic"], "'anthropic' is no account"),
        (["5.5", "--unit", "calls"], "'5.5' is not an amount of calls"),
        (["5", "--unit", "euros"], "'euros' is no unit of an allowance"),
    ],
)
def test_what_cannot_be_meant_is_refused(lmx: Lmx, given: list[str], said: str) -> None:
    refused = lmx("budget", "set", *given)
    assert refused.code == 2
    assert said in refused.err


def test_the_budgets_of_a_run_are_drawn_as_a_tree(database: Database, lmx: Lmx) -> None:
    hands = Hands(database)
    run = hands.submit(budgets={"usd": 1_000_000_000})
    hands.apply(spawning(hands.mind(), "reviewer", budget={"usd": 300_000_000}))
    hands.close()
    for drawn in (lmx("budget", str(run)).out, lmx("budget").out):
        assert "$0.00 spent $0.30 granted of $1.00" in drawn
        assert "reviewer" in drawn
    nodes = json.loads(lmx("budget", "show", str(run), "--json").out)
    assert [node["budgets"][0]["ceiling"] for node in nodes] == [1_000_000_000, 300_000_000]
    assert lmx("budget", "999").code == 2


def test_what_was_charged_without_knowing_why_is_shown_as_unknown(
    database: Database, lmx: Lmx
) -> None:
    hands = Hands(database)
    run = hands.submit(role="worker", budgets={"usd": 90_000_000}, reserve={"usd": 20_000_000})
    hands.take()
    hands.close()
    assert "$0.00 spent $0.02 held of $0.09" in lmx("budget", str(run)).out
    lmx("cancel", str(run))
    drawn = lmx("budget", str(run)).out
    assert "$0.02 spent ($0.02 of it unknown) of $0.09" in drawn


def test_the_whole_ledger_is_checked(database: Database, client: Client, lmx: Lmx) -> None:
    client.enqueue("generate", {"model": "m"}, queue="gpu", budget={"usd": 10})
    lmx("budget", "set", "1")
    assert lmx("budget", "--check").code == 0
    with database.connect() as conn:
        conn.execute("UPDATE lmx.budgets SET spent = 3")
    wrong = lmx("budget", "--check")
    assert wrong.code == 1
    assert "says spent = 3, but its rows add up to 0" in wrong.out
