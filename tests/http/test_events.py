"""A run's events: in pages, and as they happen."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from lmx.workflows.database.connect import Database
from tests.http.test_runs import start
from tests.support.eventually import eventually
from tests.support.hands import Hands
from tests.support.serving import serving

STREAM = {"Accept": "text/event-stream"}

#: Events are seen after about a second; the longest silence that these tests accept, in seconds.
PROMPT = 8


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test has entered on it."""
    with ExitStack() as stack:
        yield stack


def read(response: httpx2.Response) -> Iterator[dict[str, str]]:
    """Give the events of a stream: their fields by name."""
    event: dict[str, str] = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event
            event = {}


def test_events_come_in_order_and_go_on_from_a_cursor(api: httpx2.Client, hands: Hands) -> None:
    run_id = start(api)
    lease = hands.mind()
    hands.checkpoint(lease, "plan")
    hands.finish(lease, "done")
    first = api.get(f"/v1/runs/{run_id}/events", params={"limit": 2}).json()
    second = api.get(f"/v1/runs/{run_id}/events", params={"after": first["next"]}).json()
    events = first["events"] + second["events"]
    assert [event["kind"] for event in events] == ["submitted", "started", "checkpoint", "finished"]
    assert events[2]["data"] == {"name": "plan"}
    after = api.get(f"/v1/runs/{run_id}/events", params={"after": second["next"]}).json()
    assert after == {"events": [], "next": second["next"]}


def test_a_stream_gives_each_event_as_it_happens_and_ends_with_the_run(
    api: httpx2.Client, hands: Hands
) -> None:
    run_id = start(api)
    path = f"/v1/runs/{run_id}/events"
    with api.stream("GET", path, headers=STREAM, timeout=PROMPT) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = read(response)
        assert next(events)["event"] == "submitted"
        lease = hands.mind()
        assert next(events)["event"] == "started"
        hands.finish(lease, "done")
        last = next(events)
        assert last["event"] == "finished"
        assert json.loads(last["data"])["data"] == {"state": "succeeded"}
        assert next(events, None) is None


def test_a_stream_tells_what_running_calls_have_written_when_asked(
    api: httpx2.Client, hands: Hands
) -> None:
    run_id = hands.submit(role="worker")
    lease = hands.take()
    write = "UPDATE lmx.tasks SET progress = jsonb_build_object('partial answer', %s::jsonb)"
    path, asked = f"/v1/runs/{run_id}/events", {"partial": True}
    with api.stream("GET", path, params=asked, headers=STREAM, timeout=PROMPT) as response:
        events = read(response)
        assert [next(events)["event"] for _ in range(2)] == ["submitted", "started"]
        for text in ("The tide", "The tide keeps"):
            hands.conn.execute(write, [json.dumps({"attempt": 1, "text": text, "text_length": 9})])
            told = next(events)
            assert (told["event"], told.get("id")) == ("partial", None)
            data = json.loads(told["data"])
            assert (data["task_id"], data["partial"]["text"]) == (run_id, text)
        hands.finish(lease, "whole")
        assert [event["event"] for event in events] == ["finished"]


def test_a_stream_goes_on_after_the_last_event_that_was_seen(
    api: httpx2.Client, hands: Hands
) -> None:
    run_id = start(api)
    with api.stream("GET", f"/v1/runs/{run_id}/events", headers=STREAM) as response:
        seen = next(read(response))
    hands.finish(hands.mind(), "done")
    headers = {**STREAM, "Last-Event-ID": seen["id"]}
    with api.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response:
        rest = list(read(response))
    assert [event["event"] for event in rest] == ["started", "finished"]
    headers["Last-Event-ID"] = rest[-1]["id"]
    assert api.get(f"/v1/runs/{run_id}/events", headers=headers).status_code == 204


def test_a_stream_of_an_unknown_run_is_a_problem(api: httpx2.Client) -> None:
    answer = api.get("/v1/runs/4711/events", headers=STREAM)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_end_of_the_server_ends_streams_and_long_polls(
    database: Database, hands: Hands, stack: ExitStack
) -> None:
    run_id = hands.submit()
    answers: list[httpx2.Response] = []

    def follow(url: str) -> None:
        answers.append(httpx2.get(f"{url}/v1/runs/{run_id}?wait=60", timeout=60))

    with serving(database, grace_s=60) as url:
        polling = threading.Thread(target=follow, args=(url,))
        polling.start()
        # One that read the task, and one that listens for its end.
        eventually(lambda: hands.connections_of_others() >= 2, "the poll to wait")
        events = stack.enter_context(
            httpx2.stream("GET", f"{url}/v1/runs/{run_id}/events", headers=STREAM, timeout=60)
        )
        stream = read(events)
        assert next(stream)["event"] == "submitted"
    assert list(stream) == []
    polling.join(timeout=20)
    assert [answer.json()["state"] for answer in answers] == ["ready"]
