"""Runs over HTTP: started, listed, followed, controlled."""

import threading

import httpx2

from tests.support.hands import Hands

REVIEW = {"workflow": "review", "args": ["paper.md"]}


def start(api: httpx2.Client, **more: object) -> int:
    answer = api.post("/v1/runs", json={**REVIEW, **more})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_a_run_is_there_when_its_start_is_answered(api: httpx2.Client, hands: Hands) -> None:
    answer = api.post(
        "/v1/runs", json={**REVIEW, "nesting": 1, "weight": 2, "budget": {"usd": "1"}}
    )
    assert answer.status_code == 201
    run_id = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/runs/{run_id}"
    run = api.get(f"/v1/runs/{run_id}").json()
    assert (run["state"], run["role"], run["weight"]) == ("ready", "coordinator", 2)
    assert run["budgets"][0]["ceiling"] == "1"
    assert run["output"] is None


def test_arguments_may_be_called_like_options_of_a_run(api: httpx2.Client) -> None:
    run_id = start(api, kwargs={"priority": "high", "name": "x", "budget": 1, "connection": None})
    given = api.get(f"/v1/tasks/{run_id}/input").json()["input"]
    assert given["kwargs"] == {"priority": "high", "name": "x", "budget": 1, "connection": None}


def test_a_repeat_with_the_same_key_starts_nothing(api: httpx2.Client) -> None:
    answers = [
        api.post("/v1/runs", json=REVIEW, headers={"Idempotency-Key": "k1"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    changed = {**REVIEW, "budget": {"usd": "9"}}
    assert api.post("/v1/runs", json=changed, headers={"Idempotency-Key": "k1"}).status_code == 409


def test_runs_are_listed_newest_first_in_pages(api: httpx2.Client) -> None:
    ids = [start(api) for _ in range(5)]
    first = api.get("/v1/runs", params={"limit": 3}).json()
    assert [run["id"] for run in first["runs"]] == ids[:1:-1]
    second = api.get("/v1/runs", params={"limit": 3, "before": first["next"]}).json()
    assert [run["id"] for run in second["runs"]] == ids[1::-1]
    assert second["next"] is None


def test_runs_are_filtered_by_state_and_name(api: httpx2.Client) -> None:
    kept, cancelled = start(api), start(api)
    api.post(f"/v1/runs/{cancelled}/cancel")

    def found(**params: str) -> list[int]:
        return [run["id"] for run in api.get("/v1/runs", params=params).json()["runs"]]

    assert found(state="active") == [kept]
    assert found(state="cancelled", name="review") == [cancelled]
    assert found(name="other") == []


def test_the_tree_shows_parents_before_their_children(api: httpx2.Client, hands: Hands) -> None:
    run_id, children = hands.run_to_parked("a", "b")
    tree = api.get(f"/v1/runs/{run_id}/tree").json()
    assert [task["id"] for task in tree["tasks"]] == [run_id, *children]
    assert [task["key"] for task in tree["tasks"]] == [None, "a", "b"]
    assert tree["tasks"][0]["waiting"] == 2


def test_a_long_poll_is_answered_when_the_run_ends(api: httpx2.Client, hands: Hands) -> None:
    run_id = start(api)
    lease = hands.mind()
    finish = threading.Timer(0.1, lambda: hands.finish(lease, {"verdict": "good"}))
    finish.start()
    run = api.get(f"/v1/runs/{run_id}", params={"wait": 20}).json()
    finish.join()
    assert (run["state"], run["output"]) == ("succeeded", {"verdict": "good"})


def test_cancelling_a_run_cancels_all_of_it(api: httpx2.Client, hands: Hands) -> None:
    run_id, _ = hands.run_to_parked("a", "b")
    assert api.post(f"/v1/runs/{run_id}/cancel").json() == {"cancelled": 3}


def test_a_paused_run_goes_on_when_it_is_resumed(api: httpx2.Client, hands: Hands) -> None:
    run_id = start(api)
    assert api.post(f"/v1/runs/{run_id}/pause").json()["paused"]
    assert hands.claim("minds") == []
    assert not api.post(f"/v1/runs/{run_id}/resume").json()["paused"]
    assert hands.mind().task_id == run_id


def test_a_failed_run_goes_on_when_it_is_resumed(api: httpx2.Client, hands: Hands) -> None:
    run_id = start(api)
    hands.fail(hands.mind())
    assert api.get(f"/v1/runs/{run_id}").json()["state"] == "failed"
    assert api.post(f"/v1/runs/{run_id}/resume").json()["state"] == "ready"


def test_a_signal_wakes_the_run_that_waits_for_it(api: httpx2.Client, hands: Hands) -> None:
    run_id = start(api)
    assert hands.park(hands.mind(), children=False, signal="approved", signal_seq=1)
    answer = api.post(f"/v1/runs/{run_id}/signals/approved", json={"payload": {"by": "me"}})
    assert (answer.status_code, answer.json()) == (202, {"task_id": run_id, "name": "approved"})
    assert api.get(f"/v1/runs/{run_id}").json()["state"] == "ready"
    assert hands.value("SELECT payload FROM lmx.signals") == {"by": "me"}


def test_a_child_is_no_run(api: httpx2.Client, hands: Hands) -> None:
    _, children = hands.run_to_parked("a")
    for answer in (
        api.get(f"/v1/runs/{children[0]}"),
        api.post(f"/v1/runs/{children[0]}/cancel"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert hands.state(children[0]) == "ready"
