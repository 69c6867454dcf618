"""Runs given as data: a graph of tasks."""

from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput, TaskFailed
from lmx.workflows.library.graph import check
from lmx.workflows.registry import worker
from lmx.workflows.views import get_tree
from tests.support import pretend_model
from tests.support.exact import assert_nothing_left
from tests.support.flows import MODEL, note
from tests.support.workers import Workers


@worker
def say(word: str, **more: Any) -> dict[str, Any]:
    """Return what was said."""
    note("say", word=word)
    return {"word": word, **more}


@worker(max_attempts=1)
def stumble() -> None:
    """Fail."""
    raise ValueError("stumbled")


def test_nodes_run_after_those_they_name_and_see_their_results(
    served: Workers, client: Client, database: Database
) -> None:
    nodes = {
        "last": {
            "function": "say",
            "args": ["{left.word} and {right.word}"],
            "kwargs": {"whole": "{left}", "kept": "{other}", "list": ["{right.word}", 1]},
            "after": ["left", "right"],
        },
        "left": {"function": "say", "args": ["<{first.word}>"], "after": ["first"]},
        "right": {"function": "say", "args": ["again {first.word}"], "after": ["first"]},
        "first": {"function": "say", "args": ["hello"]},
    }
    told = client.result(client.submit("graph", nodes), 20)
    assert set(told) == set(nodes)
    assert told["last"] == {
        "word": "<hello> and again hello",
        "whole": {"word": "<hello>"},
        "kept": "{other}",
        "list": ["again hello", 1],
    }
    words = [one["word"] for one in served.notes("say")]
    assert words[0] == "hello" and words[-1] == "<hello> and again hello"
    assert_nothing_left(database)


def test_a_node_may_call_a_model_by_its_name_or_by_a_route(
    served: Workers, client: Client, database: Database
) -> None:
    pretend_model.register(database)
    served.start("gpu")
    call = {"prompt": "Say something", "max_tokens": 8}
    nodes = {
        "draft": {"generate": {"model": MODEL, **call}},
        "routed": {"generate": {"route": "private", "labels": {"team": "a"}, **call}},
        "use": {"function": "say", "args": ["{draft.text}"], "after": ["draft"]},
    }
    told = client.result(client.submit("graph", nodes), 20)
    assert told["use"]["word"] == told["draft"]["text"]
    assert told["routed"]["model"] == MODEL
    with database.connect() as conn:
        decided = conn.execute(
            "SELECT t.key, d.route, d.model, d.features -> 'in_run' FROM lmx.decisions d"
            " JOIN lmx.tasks t ON t.id = d.task_id"
        ).fetchall()
    assert decided == [("routed", "private", MODEL, True)]


def test_a_failed_node_fails_the_run_and_nothing_follows_it(
    served: Workers, client: Client, database: Database
) -> None:
    nodes = {
        "bad": {"function": "stumble"},
        "next": {"function": "say", "args": ["never"], "after": ["bad"]},
    }
    run = client.submit("graph", nodes)
    with pytest.raises(TaskFailed, match="stumbled"):
        client.result(run, 20)
    assert [view.key for view in get_tree(database, run)] == [None, "bad"]


BAD: dict[str, tuple[Any, str]] = {
    "no nodes": ({}, "the graph has no nodes"),
    "a list": ([1], "the nodes of a graph are an object"),
    "no object": ({"a": "say"}, "node 'a' is no object"),
    "an unknown key": ({"a": {"function": "say", "arg": []}}, "node 'a' has unknown keys: arg"),
    "neither": ({"a": {}}, "node 'a' needs either 'generate' or 'function'"),
    "both": (
        {"a": {"function": "say", "generate": {}}},
        "node 'a' needs either 'generate' or 'function'",
    ),
    "a missing node": (
        {"a": {"function": "say", "after": ["b"]}},
        "node 'a' comes after 'b', which does not exist",
    ),
    "itself": ({"a": {"function": "say", "after": ["a"]}}, "a cycle among these nodes: a"),
    "a cycle": (
        {
            "a": {"function": "say", "after": ["b"]},
            "b": {"function": "say", "after": ["a"]},
            "c": {"function": "say"},
        },
        "a cycle among these nodes: a, b",
    ),
    "a text for after": (
        {"a": {"function": "say"}, "b": {"function": "say", "after": "a"}},
        "'after' of node 'b' is no list",
    ),
    "a text for args": ({"a": {"function": "say", "args": "x"}}, "'args' of node 'a' is no list"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_graph_that_cannot_be_run_is_refused_with_the_name_of_the_node(case: str) -> None:
    nodes, message = BAD[case]
    with pytest.raises(InvalidInput, match=message):
        check(nodes)


def test_a_bad_graph_starts_nothing(served: Workers, client: Client, database: Database) -> None:
    run = client.submit("graph", {"a": {"function": "say"}, "b": {"after": ["a"]}})
    with pytest.raises(TaskFailed, match="node 'b' needs either"):
        client.result(run, 20)
    assert len(get_tree(database, run)) == 1


def test_a_missing_field_is_named(served: Workers, client: Client) -> None:
    nodes = {
        "a": {"function": "say", "args": ["x"]},
        "b": {"function": "say", "args": ["{a.nothing}"], "after": ["a"]},
    }
    with pytest.raises(TaskFailed, match="the result of node 'a' has no field 'nothing'"):
        client.result(client.submit("graph", nodes), 20)
