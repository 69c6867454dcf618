"""`lmx route` and `lmx enqueue --route`: what is chosen, why, and what other rules would choose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from tests.support.command import Lmx
from tests.support.routes import Routes

RULE = '[[rule]]\nname = "mine"\nroute = "research"\n'


@pytest.fixture
def routes(database: Database, client: Client, lmx: Lmx, tmp_path: Path) -> Iterator[Routes]:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    found = Routes(database, client, home)
    yield found
    found.hands.close()


def test_a_prompt_goes_where_its_route_sends_it_and_tells_why(routes: Routes, lmx: Lmx) -> None:
    queued = lmx("enqueue", "--route", "research", "--label", "team=search", "Why?")
    task = queued.out.strip()
    assert "gemini-3.8-flash: the first that can take it; lmx route explain" in queued.err
    assert routes.where(int(task))[2] == "gemini-3.8-flash"
    told = lmx("route", "explain", task)
    assert "gemini-3.8-flash: the first that can take it" in told.out
    assert "route 'research', rule 'research and analysis'" in told.out
    (decision,) = lmx("route", "explain", task, "--json").json
    assert decision["features"]["labels"] == {"team": "search"}
    assert "route research: the first that can take it" in lmx("show", task, "--once").out
    (shown,) = lmx("show", task, "--json").json
    assert shown["routed"]["rule"] == "research and analysis"
    assert shown["routed"]["candidates"][0]["verdict"] == "chosen"


@pytest.mark.parametrize("how", [("route", "explain"), ("enqueue", "--explain")])
def test_explain_lists_every_candidate_and_queues_nothing(
    routes: Routes, lmx: Lmx, how: tuple[str, ...]
) -> None:
    routes.break_("gemini/default/flash")
    told = lmx(*how, "--route", "research", "--budget", "0.02", "--json", "Why?").json
    verdicts = {one["model"]: one["verdict"] for one in told["candidates"]}
    assert verdicts == {
        "gemini-3.8-flash": "passed over",
        "gemini-3.5-flash": "out",
        "claude-haiku-5-5": "chosen",
        "claude-sonnet-5-5": "out",
        "local": "out",
    }
    assert told["chosen"] == "claude-haiku-5-5"
    shown = lmx(*how, "--route", "research", "Why?").out.splitlines()
    assert shown[0].startswith("gemini-3.5-flash: the first that can take it")
    assert "the breaker is open (billing)" in shown[1]
    assert routes.hands.value("SELECT count(*) FROM lmx.tasks") == 0


def test_private_work_is_refused_rather_than_sent_away(routes: Routes, lmx: Lmx) -> None:
    refused = lmx("enqueue", "--private", "--route", "research", "A secret")
    assert refused.code == 3
    assert "no local model is registered" in refused.err
    named = lmx("enqueue", "--private", "--model", "claude-haiku-5-5", "A secret")
    assert (named.code, "is a cloud model" in named.err) == (3, True)


def test_options_that_contradict_each_other_are_one_line(routes: Routes, lmx: Lmx) -> None:
    for args in (
        ("--route", "research", "--model", "claude-haiku-5-5"),
        ("--model", "claude-haiku-5-5", "--label", "a=b"),
        ("--route", "nope"),
        ("--route", "research", "--label", "team"),
        ("--explain",),
    ):
        refused = lmx("enqueue", *args, "Hello")
        assert refused.code == 2, args
        assert len(refused.err.splitlines()) == 1


def test_a_bad_file_is_told_with_its_place_wherever_it_is_read(routes: Routes, lmx: Lmx) -> None:
    routes.rules("\n" + RULE + 'models = ["m"]\nwhen = "sise > 3"\n')
    for command in (
        ("route", "list"),
        ("route", "check", routes.home / "routes.toml"),
        ("enqueue", "--route", "research", "Hello"),
        ("up",),
    ):
        refused = lmx(*command)
        assert refused.code == 5, command
        assert "routes.toml:2: rule 1 (mine): when: unknown name 'sise'" in refused.err


def test_rules_are_listed_in_the_order_in_which_they_are_tried(routes: Routes, lmx: Lmx) -> None:
    routes.rules(RULE + 'models = ["local"]\nmax_wait = "30s"\n')
    rows = [line.split("\t") for line in lmx("route", "list").out.splitlines()]
    assert rows[0][:6] == ["research", "mine", "", "local", "listed", "30 s"]
    assert rows[1][0] == "all", "what is private comes first of the shipped ones"
    told = lmx("route", "list", "--json").json
    assert told["rules"][0]["source"].endswith("routes.toml:1")
    assert "bulk" in told["routes"]


def test_other_rules_are_tried_on_the_calls_of_the_past(routes: Routes, lmx: Lmx) -> None:
    dear = lmx("enqueue", "--route", "research", "Why?").out.strip()
    lmx("enqueue", "--route", "bulk", "Why?")
    routes.conn.execute(
        "UPDATE lmx.tasks SET state = 'succeeded', finished_at = now(), usage = %s WHERE id = %s",
        ['{"cost": 1000000, "prompt_tokens": 1000, "completion_tokens": 100}', dear],
    )
    new = routes.home / "new.toml"
    new.write_text(RULE + 'models = ["claude-haiku-5-5"]\n')
    told = lmx("route", "dry-run", "--rules", new, "--since", "1d", "--json").json
    assert (told["calls"], told["changed"]) == (2, 1)
    (change,) = told["changes"]
    assert (change["then_model"], change["now_model"]) == ("gemini-3.8-flash", "claude-haiku-5-5")
    assert change["would_cost"] == 1000 * 100 + 100 * 500
    assert told["difference"] == change["difference"] == 150_000 - 1_000_000
    line = lmx("route", "dry-run", "--rules", new)
    assert line.out.split("\t")[-1].strip() == "-$0.00085"
    assert "1 of 2 calls would go elsewhere" in line.err
    assert lmx("route", "dry-run", "--rules", new, "--since", "soon").code == 2


def test_a_dry_run_over_more_than_is_kept_says_so(routes: Routes, lmx: Lmx) -> None:
    lmx("enqueue", "--route", "research", "Why?")
    assert lmx("db", "prune", "--older-than", "30d").code == 0
    rules = routes.home / "new.toml"
    rules.write_text(RULE + 'models = ["claude-haiku-5-5"]\n')
    within = lmx("route", "dry-run", "--rules", rules, "--since", "29d")
    assert "is kept" not in within.err
    beyond = lmx("route", "dry-run", "--rules", rules, "--since", "90d")
    assert "--since 90d asks for more than is kept: of runs that ended before " in beyond.err
    told = lmx("route", "dry-run", "--rules", rules, "--since", "90d", "--json").json
    assert told["calls"] == 1
    assert told["pruned_before"] is not None
    assert "and that is pruned" in lmx("route", "explain", "999").err


def test_what_no_route_has_chosen_is_not_explained(routes: Routes, lmx: Lmx) -> None:
    task = lmx("enqueue", "--model", "claude-haiku-5-5", "Why?").out.strip()
    assert lmx("route", "explain", task).code == 2
