"""Sessions through the queue: what an earlier call has computed is not computed again."""

import pytest

from lmx.workers.gpu.process import GpuWorker
from lmx.workers.gpu.sessions import MOST, HeldSessions
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.models import Model
from lmx.workflows.views import get_task
from tests.gpu.conftest import CALL, StartWorker
from tests.gpu.test_gpu_worker import WAIT_S, need
from tests.support.eventually import eventually

STORY = "Anna has three cats, two dogs and a parrot that can count to seven. " * 4


def ask(client: Client, prompt: str, **options: str) -> tuple[str, dict[str, int]]:
    """The answer of a call, and its usage."""
    task = client.generate(model="small", prompt=prompt, **CALL, **options)
    text: str = client.result(task, WAIT_S)["text"]
    usage = client.wait(task).usage
    assert usage is not None
    return text, usage


def test_a_call_goes_on_from_what_an_earlier_one_of_its_session_computed(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    start_worker(4 * need(small))
    text, first = ask(client, STORY, session="anna")
    _, second = ask(client, STORY + text, session="anna")
    assert first["cached_tokens"] == 0
    assert second["cached_tokens"] >= first["prompt_tokens"]
    assert second["cached_tokens"] < second["prompt_tokens"]


def test_a_session_goes_on_after_a_stop_and_a_start_of_the_worker(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    worker = start_worker(4 * need(small))
    text, first = ask(client, STORY, session="anna")
    start_worker.stop(worker)
    worker = start_worker(4 * need(small))
    assert worker.sessions.names() == ["/anna"]
    _, second = ask(client, STORY + text, session="anna")
    assert second["cached_tokens"] >= first["prompt_tokens"]


def elsewhere(database: Database, session: str) -> None:
    """Another live device, which holds this session and takes no call."""
    with database.connect() as conn:
        conn.execute(
            "WITH w AS (INSERT INTO lmx.workers (name, queues, host, boot_id, pid, pid_started,"
            " expires_at) VALUES ('gpu', '{gpu}', 'elsewhere', 'x', 1, 0,"
            " clock_timestamp() + interval '1 hour')"
            " RETURNING id)"
            " INSERT INTO lmx.devices (host, name, cap_bytes, worker_id, snapshot)"
            " SELECT 'elsewhere', 'cpu', 1::bigint << 40, w.id,"
            " jsonb_build_object('sessions', jsonb_build_array(%s::text)) FROM w",
            [session],
        )


def test_a_call_is_left_for_a_moment_to_the_device_that_holds_its_session(
    client: Client, small: Model, start_worker: StartWorker, database: Database
) -> None:
    elsewhere(database, "/anna")
    worker = start_worker(4 * need(small))
    eventually(lambda: not worker.device.alone, "the other device")
    ask(client, "Hello")  # so that the model is there, and the next call takes but a moment
    held = client.generate(model="small", prompt="Hello", session="anna", **CALL)
    free = client.generate(model="small", prompt="Hello", session="bob", **CALL)
    client.result(free, WAIT_S)
    assert get_task(database, held).state == "ready"
    assert client.result(held, WAIT_S)["text"]  # nobody else took it


def test_the_device_tells_which_sessions_it_holds(
    client: Client, small: Model, start_worker: StartWorker, database: Database
) -> None:
    worker: GpuWorker = start_worker(4 * need(small))
    ask(client, "Hello", session="anna")
    ask(client, "Hello")
    assert worker.sessions.names() == ["/anna"]

    def told() -> bool:
        with database.connect() as conn:
            row = conn.execute("SELECT snapshot -> 'sessions' FROM lmx.devices").fetchone()
        return row is not None and row[0] == ["/anna"]

    eventually(told, "the session in the device's row")


def test_only_the_sessions_used_last_are_told() -> None:
    held = HeldSessions()
    for number in range(MOST + 2):
        held.used(str(number))
    held.used("2")
    assert len(held.names()) == MOST
    assert "1" not in held.names()
    assert held.names()[-1] == "2"


@pytest.mark.parametrize("snapshot", [{}, {"host": {"saved": []}}])
def test_a_device_that_kept_nothing_holds_nothing(snapshot: dict[str, object]) -> None:
    held = HeldSessions()
    held.found(snapshot)
    assert held.names() == []
