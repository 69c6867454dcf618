"""Tasks over HTTP: submitted once, read, waited for, cancelled, put back."""

import threading

import httpx2

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.operations import keep
from tests.support.hands import Hands

CALL = {"function": "call", "args": ["a text"], "kwargs": {"words": 2}}


def submit(api: httpx2.Client, **more: object) -> int:
    answer = api.post("/v1/tasks", json={**CALL, **more})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_a_task_is_there_when_its_submission_is_answered(
    api: httpx2.Client, database: Database, hands: Hands
) -> None:
    answer = api.post("/v1/tasks", json=CALL)
    assert answer.status_code == 201
    task_id = answer.json()["id"]
    assert answer.json() == {"id": task_id, "created": True}
    assert answer.headers["location"] == f"/v1/tasks/{task_id}"
    assert hands.state(task_id) == "ready"
    assert api.get(f"/v1/tasks/{task_id}/input").json() == {
        "id": task_id,
        "input": {"args": ["a text"], "kwargs": {"words": 2}},
    }


def test_the_options_of_a_task_are_kept(api: httpx2.Client) -> None:
    options = {"priority": 7, "max_attempts": 2, "queue": "other", "delay": 60}
    task = api.get(f"/v1/tasks/{submit(api, **options)}").json()
    assert (task["priority"], task["max_attempts"], task["queue"]) == (7, 2, "other")
    assert task["state"] == "scheduled"
    assert task["run_at"] > task["created_at"]


def test_a_finished_task_shows_what_it_returned(api: httpx2.Client, hands: Hands) -> None:
    task_id = submit(api)
    hands.finish(hands.take(), {"words": 2})
    task = api.get(f"/v1/tasks/{task_id}").json()
    assert (task["state"], task["finished"], task["output"]) == ("succeeded", True, {"words": 2})


def test_what_had_come_of_an_answer_is_no_output(api: httpx2.Client, hands: Hands) -> None:
    task_id = submit(api)
    lease = hands.take()
    half = {"attempt": 1, "text": "The tide", "text_length": 8}
    hands.apply(keep(*lease.token, half))
    hands.fail(lease)
    task = api.get(f"/v1/tasks/{task_id}").json()
    assert (task["state"], task["output"]) == ("failed", None)
    assert {name: task["partial"][name] for name in half} == half
    assert "partial" not in task["error"]


def test_a_repeat_with_the_same_key_creates_nothing(api: httpx2.Client, hands: Hands) -> None:
    first, second = (
        api.post("/v1/tasks", json=CALL, headers={"Idempotency-Key": "k1"}) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == {"id": first.json()["id"], "created": True}
    assert second.json() == {"id": first.json()["id"], "created": False}
    assert hands.value("SELECT count(*) FROM lmx.tasks") == 1


def test_racing_repeats_agree_on_one_creation(api: httpx2.Client, url: str, hands: Hands) -> None:
    answers: list[httpx2.Response] = []

    def race() -> None:
        with httpx2.Client(base_url=url, timeout=20) as client:
            headers = {"Idempotency-Key": "k1"}
            answers.append(client.post("/v1/tasks", json=CALL, headers=headers))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert hands.value("SELECT count(*) FROM lmx.tasks") == 1


def test_a_key_used_for_something_else_is_a_conflict(api: httpx2.Client, hands: Hands) -> None:
    headers = {"Idempotency-Key": "k1"}
    api.post("/v1/tasks", json=CALL, headers=headers)
    answer = api.post("/v1/tasks", json={**CALL, "args": ["another"]}, headers=headers)
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    assert hands.value("SELECT count(*) FROM lmx.tasks") == 1


def test_a_long_poll_is_answered_when_the_task_ends(api: httpx2.Client, hands: Hands) -> None:
    task_id = submit(api)
    lease = hands.take()
    finish = threading.Timer(0.1, lambda: hands.finish(lease, "done"))
    finish.start()
    task = api.get(f"/v1/tasks/{task_id}", params={"wait": 20}).json()
    finish.join()
    assert (task["state"], task["output"]) == ("succeeded", "done")


def test_a_long_poll_without_an_end_shows_the_state_when_time_is_up(api: httpx2.Client) -> None:
    task_id = submit(api)
    answer = api.get(f"/v1/tasks/{task_id}", params={"wait": 0.05})
    assert (answer.status_code, answer.json()["state"]) == (200, "ready")


def test_a_hundred_long_polls_leave_the_server_free_for_others(
    api: httpx2.Client, url: str, hands: Hands
) -> None:
    task_id = submit(api)
    lease = hands.take()
    states: list[str] = []

    def poll() -> None:
        with httpx2.Client(base_url=url, timeout=60) as client:
            answer = client.get(f"/v1/tasks/{task_id}", params={"wait": 60})
            states.append(answer.json()["state"])

    threads = [threading.Thread(target=poll) for _ in range(100)]
    for thread in threads:
        thread.start()
    assert submit(api) > task_id
    hands.finish(lease, "done")
    for thread in threads:
        thread.join()
    assert states == ["succeeded"] * 100


def test_cancelling_tells_how_many_tasks_it_stopped(api: httpx2.Client) -> None:
    task_id = submit(api)
    assert api.post(f"/v1/tasks/{task_id}/cancel").json() == {"cancelled": 1}
    assert api.post(f"/v1/tasks/{task_id}/cancel").json() == {"cancelled": 0}
    assert api.get(f"/v1/tasks/{task_id}").json()["state"] == "cancelled"


def test_a_dead_letter_goes_back_into_its_queue(api: httpx2.Client, hands: Hands) -> None:
    task_id = submit(api)
    hands.fail(hands.take(), "it broke")
    task = api.get(f"/v1/tasks/{task_id}").json()
    assert (task["state"], task["error"]["message"]) == ("failed", "it broke")
    assert api.post(f"/v1/tasks/{task_id}/retry").json()["state"] == "ready"


def test_money_is_a_decimal_string_of_dollars(api: httpx2.Client) -> None:
    task_id = submit(api, budget={"usd": "0.05", "pages": 3})
    budgets = {
        budget["unit"]: budget for budget in api.get(f"/v1/tasks/{task_id}").json()["budgets"]
    }
    assert budgets["usd"] == {
        "unit": "usd",
        "ceiling": "0.05",
        "spent": "0",
        "held": "0",
        "granted": "0",
        "left": "0.05",
    }
    assert budgets["pages"]["ceiling"] == 3


def test_a_model_call_is_queued_with_its_options(
    api: httpx2.Client, hands: Hands, model: str
) -> None:
    messages = [{"role": "user", "content": "Say hello."}]
    call = {"model": model, "messages": messages, "max_tokens": 8, "temperature": 0, "seed": 1}
    call["session"] = "notes"
    answer = api.post("/v1/tasks", json=call)
    assert answer.status_code == 201, answer.text
    task = api.get(f"/v1/tasks/{answer.json()['id']}").json()
    assert (task["name"], task["queue"]) == ("generate", "gpu")
    given = api.get(f"/v1/tasks/{task['id']}/input").json()["input"]
    assert given["messages"] == messages
    assert given["session"] == "/notes"
    assert (given["temperature"], given["seed"], given["max_tokens"]) == (0, 1, 8)


def test_a_model_call_is_given_either_a_grammar_or_a_schema_and_no_stop(
    api: httpx2.Client, hands: Hands, model: str
) -> None:
    call = {"model": model, "prompt": "Hi", "max_tokens": 8, "json_schema": {"type": "object"}}
    assert api.post("/v1/tasks", json=call).status_code == 201
    for other, told in (
        ({"grammar": 'root ::= "a"'}, "either a grammar or a json_schema"),
        ({"stop": ["x"]}, "cut the answer short"),
    ):
        answer = api.post("/v1/tasks", json=call | other)
        assert answer.status_code == 400
        assert told in answer.text


def test_a_call_that_can_never_fit_is_refused_with_three_numbers(
    api: httpx2.Client, hands: Hands, model: str
) -> None:
    answer = api.post("/v1/tasks", json={"model": model, "prompt": "Hi", "n_ctx": 4096})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["needs"], problem["cap"]) == ("never_fits", 1005, 500)
    assert hands.value("SELECT count(*) FROM lmx.tasks") == 0


def test_a_client_in_python_sees_the_same_task(api: httpx2.Client, database: Database) -> None:
    client = Client(database)
    assert (
        client.enqueue("call", args=["a text"], kwargs={"words": 2}, idempotency_key="k")
        == (api.post("/v1/tasks", json=CALL, headers={"Idempotency-Key": "k"}).json()["id"])
    )
    client.close()


def test_texts_to_embed_are_a_task(api: httpx2.Client, model: str, hands: Hands) -> None:
    answer = api.post("/v1/tasks", json={"model": model, "texts": ["a", "b"], "pooling": "cls"})
    assert answer.status_code == 201, answer.text
    body = api.get(f"/v1/tasks/{answer.json()['id']}/input").json()["input"]
    assert body == {
        "model": model,
        "texts": ["a", "b"],
        "normalize": True,
        "n_ctx": 512,
        "truncate": False,
        "pooling": "cls",
    }


def test_an_answer_is_judged_once(api: httpx2.Client, hands: Hands) -> None:
    task_id = submit(api)
    unanswered = api.post(f"/v1/tasks/{task_id}/verdict", json={"accepted": True})
    assert unanswered.status_code == 422
    assert "has answered" in unanswered.text
    hands.conn.execute("UPDATE lmx.tasks SET name = 'generate' WHERE id = %s", [task_id])
    hands.finish(hands.take(), {"text": "42"})
    verdict = {"accepted": False, "reason": "no question"}
    said = [api.post(f"/v1/tasks/{task_id}/verdict", json=verdict).json() for _ in range(2)]
    assert said == [{"fresh": True}, {"fresh": False}]
    opposite = api.post(f"/v1/tasks/{task_id}/verdict", json={"accepted": True})
    assert opposite.status_code == 409


def test_a_model_call_may_be_patient(api: httpx2.Client, model: str) -> None:
    call = {"model": model, "prompt": "Count.", "max_tokens": 5}
    patient = api.post("/v1/tasks", json={**call, "when": "cheap"})
    assert patient.status_code == 201, patient.text
    assert api.get(f"/v1/tasks/{patient.json()['id']}").json()["priority"] == -1000
    assert api.post("/v1/tasks", json={**call, "when": "soon"}).status_code == 422
