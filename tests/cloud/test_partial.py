"""What has come of a provider's answer: seen while it comes, kept when its call ends."""

from pathlib import Path
from typing import Any

import pytest

from lmx.workflows import control
from lmx.workflows.client import Client
from lmx.workflows.partial import SHOWN
from lmx.workflows.views import TaskView, get_task
from tests.support.clouds import CLOUDS, running, worker_of
from tests.support.eventually import eventually
from tests.support.rehearsed import KEY, Rehearsed

pytestmark = pytest.mark.leaves_open("the driver's threads end a little later than the worker")
CLAUDE = CLOUDS["anthropic"]
STALLED = {"kind": "stalled", "count": 1}


def partial_of(client: Client, task: int) -> dict[str, Any]:
    return get_task(client.database, task).partial or {}


def test_a_long_answer_shows_its_end_and_a_cancelled_one_is_kept_whole(
    client: Client, rehearsed: Rehearsed, tmp_path: Path
) -> None:
    rehearsed.fail(STALLED)
    with running(worker_of(CLAUDE, client.database, tmp_path, rehearsed.url)):
        task = client.generate(model=CLAUDE.model, prompt="Count.", max_tokens=8000)
        eventually(lambda: partial_of(client, task).get("text"), "some text")
        seen = get_task(client.database, task)
        assert (seen.state, seen.output, seen.progress["phase"]) == ("leased", None, "answering")
        shown = partial_of(client, task)
        assert len(shown["text"]) == min(SHOWN, shown["text_length"])
        control.cancel(client.database, task)
        whole = shown["text_length"]
        eventually(lambda: len(partial_of(client, task)["text"]) == whole, "the whole")
        seen = get_task(client.database, task)
        assert (seen.state, seen.output) == ("cancelled", None)
        control.retry(client.database, task)
        done = client.wait(task, timeout=20)
        assert (done.state, done.partial, done.error) == ("succeeded", None, None)


@pytest.mark.parametrize("provider", CLOUDS)
def test_an_answer_that_stalls_is_kept_with_the_failure_and_without_the_key(
    client: Client, rehearsed: Rehearsed, tmp_path: Path, provider: str
) -> None:
    rehearsed.fail(STALLED)
    cloud = CLOUDS[provider]
    seen = ended(client, worker_of(cloud, client.database, tmp_path, rehearsed.url, silence_s=0.3))
    assert seen.error is not None
    assert seen.error["kind"] == "timed_out"
    assert seen.partial == {"attempt": 1, "text": '"[key]"', "text_length": 7}


def test_an_attempt_that_runs_out_of_time_keeps_what_had_come(
    client: Client, rehearsed: Rehearsed, tmp_path: Path
) -> None:
    rehearsed.fail(STALLED)
    worker = worker_of(CLAUDE, client.database, tmp_path, rehearsed.url)
    seen = ended(client, worker, time_limit_ms=300)
    assert seen.error is not None
    assert seen.error["type"] == "TimeLimitExceeded"
    assert seen.partial is not None
    assert seen.partial["text"] == '"[key]"'


def ended(client: Client, worker: Any, time_limit_ms: int | None = None) -> TaskView:
    """A call with a single attempt that fails; its answer would be the key."""
    task = client.generate(
        model=worker_model(worker), prompt="Count.", max_tokens=50, json_schema={"const": KEY}
    )
    with client.database.connect() as conn:
        conn.execute(
            "UPDATE lmx.tasks SET max_attempts = 1, time_limit_ms = %s WHERE id = %s",
            [time_limit_ms, task],
        )
    with running(worker):
        view = client.wait(task, timeout=20)
    assert (view.state, view.output) == ("failed", None)
    return view


def worker_model(worker: Any) -> str:
    """The model that a worker's queue is for."""
    return next(cloud.model for cloud in CLOUDS.values() if cloud.queue == worker.queue)
