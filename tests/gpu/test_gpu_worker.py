"""Model calls through the queue: answers, prices, memory, refusals, cancellation."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows.client import Client
from lmx.workflows.control import cancel
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import BudgetExceeded, NeverFitsError, TaskFailed
from lmx.workflows.models import Model
from lmx.workflows.money import USD
from lmx.workflows.views import get_input, get_task, list_runs
from tests.gpu.conftest import CALL, N_CTX, StartWorker, register
from tests.support.eventually import eventually

ENDLESS = {"max_tokens": 200, "temperature": 0.0, "logit_bias": {"2": -100.0, "0": -100.0}}
WAIT_S = 120


def need(model: Model) -> int:
    needs = model.need(N_CTX)
    assert needs is not None
    return needs


def waits(database: Database) -> dict[int, dict[str, int]]:
    """The three numbers of each call that has waited for memory."""
    with database.connect() as conn:
        rows = conn.execute(
            "SELECT task_id, data FROM lmx.events WHERE kind = 'waiting_for_memory'"
        ).fetchall()
    return dict(rows)


def test_a_call_is_answered_and_tells_what_it_used(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    task = client.generate(model="small", prompt="The sky is", **CALL)
    start_worker(2 * need(small))
    answer = client.result(task, WAIT_S)
    usage = client.wait(task).usage
    assert answer["text"]
    assert answer["finish_reason"] == "length"
    assert usage is not None
    assert usage["completion_tokens"] == 4
    assert usage["cost"] == usage["prompt_tokens"] * 1 + 4 * 2


def test_a_call_that_does_not_say_may_answer_in_half_of_a_short_context(
    client: Client, small: Model, database: Database
) -> None:
    task = client.generate(model="small", prompt="Hello")
    assert get_input(database, task)["max_tokens"] == N_CTX // 2


def test_the_same_seed_gives_the_same_answer(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    start_worker(2 * need(small))
    call = {"max_tokens": 8, "temperature": 1.0, "seed": 42}
    answers = [
        client.result(client.generate(model="small", prompt="Once", **call), WAIT_S)["text"]
        for _ in range(2)
    ]
    assert answers[0] == answers[1]


def test_a_budget_holds_the_worst_case_and_pays_what_was_used(
    client: Client, small: Model, start_worker: StartWorker, database: Database
) -> None:
    task = client.generate(model="small", prompt="Hello", budget={USD: 10_000_000}, **CALL)
    start_worker(2 * need(small))
    client.result(task, WAIT_S)
    (budget,) = get_task(database, task).budgets
    usage = client.wait(task).usage
    assert usage is not None
    assert (budget.spent, budget.held) == (usage["cost"], 0)


def test_a_call_that_its_budget_cannot_hold_is_refused_at_submission(
    client: Client, small: Model, database: Database
) -> None:
    with pytest.raises(BudgetExceeded, match=r"can cost up to \$0\.\d+, more than its budget of"):
        client.generate(model="small", prompt="Hello", budget={USD: 1}, **CALL)
    assert list_runs(database) == []


def test_a_call_whose_model_file_is_gone_fails_where_no_other_host_could_have_it(
    client: Client, model: Path, database: Database, start_worker: StartWorker, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gguf"
    shutil.copy(model, copy)
    lost = register(database, "lost", copy)
    copy.unlink()
    task = client.generate(model="lost", prompt="Hello", **CALL)
    start_worker(2 * need(lost))
    view = client.wait(task, WAIT_S)
    assert view.error is not None
    assert "the file of model 'lost' is missing" in view.error["message"]


def test_two_models_that_do_not_fit_together_are_served_one_after_the_other(
    client: Client,
    small: Model,
    large: Model,
    start_worker: StartWorker,
    database: Database,
) -> None:
    cap = need(large) + need(small) // 4
    worker = start_worker(cap)
    first = client.generate(model="small", prompt="One", **ENDLESS | {"max_tokens": 100})
    # Which of two calls starts first when both are there depends on whose file is checked first.
    eventually(lambda: get_task(database, first).progress, "a token of the first call")
    second = client.generate(model="large", prompt="Two", **CALL)
    for task in (first, second):
        assert client.result(task, WAIT_S)["text"]
    assert worker.engine.snapshot()["totals"]["evictions"] >= 1
    [numbers] = waits(database).values()
    assert list(waits(database)) == [second]
    assert numbers["needs"] == need(large)
    assert numbers["cap"] == cap
    assert numbers["free"] < numbers["needs"]


def test_a_call_that_waits_for_memory_stays_in_the_queue(
    client: Client,
    small: Model,
    large: Model,
    start_worker: StartWorker,
    database: Database,
) -> None:
    """So another host could take it, and a crash costs it nothing."""
    start_worker(need(large) + need(small) // 4)
    running = client.generate(model="small", prompt="One", **ENDLESS)
    eventually(lambda: get_task(database, running).progress, "a token of the first call")
    waiting = client.generate(model="large", prompt="Two", **CALL)
    eventually(lambda: waiting in waits(database), "the planner's look at the second call")
    view = get_task(database, waiting)
    assert (view.state, view.deliveries) == ("ready", 0)
    cancel(database, running)
    assert client.result(waiting, WAIT_S)["text"]


def test_what_can_never_fit_is_refused_at_submission_with_three_numbers(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    cap = need(small) - 1
    start_worker(cap)
    served = threading.Event()

    def refused() -> bool:
        try:
            client.generate(model="small", prompt="Hello", **CALL)
        except NeverFitsError as error:
            assert (error.needs, error.cap, error.free) == (need(small), cap, cap)
            served.set()
        return served.is_set()

    eventually(refused, "the refusal, once the device is known")


def test_a_call_that_was_queued_before_the_device_shrank_fails_with_the_numbers(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    task = client.generate(model="small", prompt="Hello", **CALL)
    start_worker(need(small) // 4)
    view = client.wait(task, WAIT_S)
    assert view.state == "failed"
    assert view.error is not None
    assert view.error["kind"] == "never_fits"
    assert view.attempts == 1, "trying again would not help"


def test_a_cancelled_call_stops_decoding_and_frees_its_memory(
    client: Client, small: Model, start_worker: StartWorker, database: Database
) -> None:
    worker = start_worker(2 * need(small))
    task = client.generate(model="small", prompt="Count", **ENDLESS)
    eventually(lambda: get_task(database, task).partial, "the first text")
    cancel(database, task)
    eventually(lambda: not worker.engine.snapshot()["requests"], "an idle engine")
    view = get_task(database, task)
    assert (view.state, view.output) == ("cancelled", None)
    assert view.partial is not None
    assert view.partial["text"]


def test_a_changed_model_file_is_not_run(
    client: Client,
    database: Database,
    small: Model,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(Path(small.path).read_bytes())
    with database.connect() as conn:
        conn.execute("UPDATE lmx.models SET path = %s", [str(copy)])
    with copy.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    start_worker(2 * need(small))
    task = client.generate(model="small", prompt="Hello", **CALL)
    with pytest.raises(TaskFailed, match="has changed since it was added"):
        client.result(task, WAIT_S)


def test_a_prompt_longer_than_the_context_fails_with_a_clear_error(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    start_worker(2 * need(small))
    task = client.generate(model="small", prompt="word " * 1000, **CALL)
    with pytest.raises(TaskFailed, match=r"prompt|context"):
        client.result(task, WAIT_S)


def test_the_bookings_in_the_database_follow_the_engine(
    client: Client, small: Model, start_worker: StartWorker, database: Database
) -> None:
    worker = start_worker(2 * need(small))
    task = client.generate(model="small", prompt="Hello", **CALL)
    client.result(task, WAIT_S)

    def agree() -> bool:
        with database.connect() as conn:
            rows = conn.execute("SELECT kind, sum(bytes)::bigint FROM lmx.vram_leases GROUP BY 1")
            booked = dict(rows.fetchall())
        return booked == {
            kind: size for kind, size in worker.engine.snapshot()["by_kind"].items() if size
        }

    eventually(agree, "bookings equal to the engine's ledger")


def test_an_answer_has_the_form_that_was_asked_for(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    start_worker(2 * need(small))
    schema = {
        "type": "object",
        "properties": {"zone": {"enum": ["north", "south"]}, "at": {"type": "boolean"}},
        "required": ["zone", "at"],
    }
    call = CALL | {"max_tokens": 60}
    task = client.generate(model="small", prompt="Where?", json_schema=schema, logprobs=2, **call)
    answer = client.result(task, WAIT_S)
    assert answer["finish_reason"] == "stop"
    value = json.loads(answer["text"])
    assert list(value) == ["zone", "at"]  # in the order of the schema
    assert value["zone"] in ("north", "south")
    usage = client.wait(task).usage
    assert usage is not None
    assert len(answer["logprobs"]) == usage["completion_tokens"]
    assert all(len(token["top"]) == 2 for token in answer["logprobs"])


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"grammar": "root ::= missing"}, "Undefined rule identifier 'missing'"),
        ({"json_schema": {"type": "string", "pattern": "x"}}, "'pattern' at #"),
    ],
)
def test_a_form_that_cannot_be_made_fails_its_call_alone(
    client: Client, small: Model, start_worker: StartWorker, form: dict[str, Any], told: str
) -> None:
    bad = client.generate(model="small", prompt="Hello", **form, **CALL)
    good = client.generate(model="small", prompt="Hello", **CALL)
    start_worker(2 * need(small))
    with pytest.raises(TaskFailed, match=told):
        client.result(bad, WAIT_S)
    assert client.result(good, WAIT_S)["text"]
