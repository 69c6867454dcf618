"""A run led by a model. The model is a script: what matters is what lmx makes of its answers."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lmx.workers.process import WorkerProcess
from lmx.workers.running import Execution
from lmx.workflows import library
from lmx.workflows.client import Client
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput, TaskFailed
from lmx.workflows.library.agent import agent, parse
from lmx.workflows.models import Model, add_model, remove_model
from lmx.workflows.names import COORDINATORS, GENERATE, GPU
from lmx.workflows.views import get_tree

Script = Callable[[Mapping[str, Any]], str | dict[str, Any]]
Run = Callable[[Script], dict[str, Any]]


@pytest.fixture
def run_agent(database: Database, tmp_path: Path) -> Iterator[Run]:
    """Runs the agent `goal` with a model that answers each call by a script."""
    library.load()
    with database.connect() as conn:
        add_model(conn, Model("lead", "nowhere", "none", 1, 4096))
    client = Client(database)
    settings = Settings(home=tmp_path)
    started: list[WorkerProcess] = []

    def run(script: Script) -> dict[str, Any]:
        def body(execution: Execution) -> tuple[Any, None]:
            said = script(execution.task.lease.input)
            return said if isinstance(said, dict) else {"text": said}, None

        started.append(WorkerProcess(settings, database, COORDINATORS, 2))
        started.append(WorkerProcess(settings, database, GPU, 4, bodies={GENERATE: body}))
        for process in started:
            process.start()
        task = client.submit("agent", goal="Find out", model="lead", max_turns=3, max_workers=2)
        result: dict[str, Any] = client.result(task, 60)
        return result

    yield run
    for process in started:
        process.stop()
    client.close()


def last(call: Mapping[str, Any]) -> str:
    content: str = call["messages"][-1]["content"]
    return content


def test_the_model_spawns_workers_sees_their_results_and_answers(
    run_agent: Run, database: Database
) -> None:
    sessions = []

    def script(call: Mapping[str, Any]) -> str:
        sessions.append(call.get("session"))
        if last(call) == "Find out":
            return 'Let me see. {"spawn": [{"prompt": "half one"}, {"prompt": "half two"}]}'
        if last(call).startswith("half"):
            return last(call).upper()
        assert "Worker 1: HALF ONE" in last(call)
        assert "Worker 2: HALF TWO" in last(call)
        return '{"answer": "both halves"}'

    assert run_agent(script) == {"answer": "both halves", "turns": 2}
    root, *children = get_tree(database, 1)
    assert root.role == "coordinator"
    assert [child.key for child in children] == ["lead", "worker", "worker#2", "lead#2"]
    # The lead's turns go on from each other; its workers have nothing in common with them.
    assert sessions == ["1/lead of 1", None, None, "1/lead of 1"]


def called(name: str, id_: str = "1", **arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": id_, "type": "function", "function": function}


def test_a_model_that_knows_tools_calls_them_and_gets_their_results(
    run_agent: Run, database: Database
) -> None:
    with database.connect() as conn:
        remove_model(conn, "lead")
        add_model(conn, Model("lead", "nowhere", "none", 1, 4096, info={"tools": True}))

    def script(call: Mapping[str, Any]) -> str | dict[str, Any]:
        if last(call).startswith("half"):
            return last(call).upper()
        assert call["tool_choice"] == "required"
        if last(call) == "Find out":
            halves = [called("spawn", str(n), prompt=f"half {n}") for n in (1, 2)]
            return {"text": "", "tool_calls": halves}
        *_, asked, first, second = call["messages"]
        assert [one["id"] for one in asked["tool_calls"]] == ["1", "2"]
        assert (first["tool_call_id"], first["content"]) == ("1", "HALF 1")
        assert (second["role"], second["content"]) == ("tool", "HALF 2")
        return {"text": "", "tool_calls": [called("answer", answer="both halves")]}

    assert run_agent(script) == {"answer": "both halves", "turns": 2}


def test_a_model_that_breaks_the_protocol_is_told_so(run_agent: Run) -> None:
    def script(call: Mapping[str, Any]) -> str:
        return '{"answer": 42}' if "not one JSON object" in last(call) else "I think I will..."

    assert run_agent(script) == {"answer": "42", "turns": 2}


def test_a_model_that_never_answers_ends_after_its_turns(run_agent: Run) -> None:
    with pytest.raises(TaskFailed, match="no answer within 3 turns"):
        run_agent(lambda _: '{"spawn": [{"prompt": "again"}]}')


class Recorded:
    """A context whose model asks for one worker and then answers; it keeps what was asked of it."""

    task_id = 1

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def generate(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return call

    def gather(self, *children: Mapping[str, Any], **_: Any) -> list[dict[str, Any]]:
        led = sum(call["key"] == "lead" for call in self.calls)
        says = '{"spawn": [{"prompt": "go"}]}' if led == 1 else '{"answer": "done"}'
        return [{"text": says} for _ in children]


def test_a_route_may_choose_the_models_of_a_lead_and_of_its_workers() -> None:
    ctx: Any = Recorded()
    assert agent(ctx, "Find out", route="execute", worker_route="bulk")["answer"] == "done"
    routes = [(call["key"], call["route"], "model" in call) for call in ctx.calls]
    assert routes == [
        ("lead", "execute", False),
        ("worker", "bulk", False),
        ("lead", "execute", False),
    ]
    for wrong in ({}, {"model": "m", "route": "r"}):
        with pytest.raises(InvalidInput, match="either a model or a route"):
            agent(ctx, "Find out", **wrong)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no JSON at all", "no JSON object"),
        ('{"spawn": []}', "neither"),
        ('{"spawn": [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}]}', "2 are allowed"),
        ('{"spawn": [{"task": "a"}]}', "needs a 'prompt'"),
        ('{"spawn": "a"}', "neither"),
    ],
)
def test_what_is_no_wish_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse(text, max_workers=2)
