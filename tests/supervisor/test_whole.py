"""All of lmx as `lmx up --detach` starts it: API, workers and the embedded Postgres."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest

from lmx.api.supervisor import StatusView, start_detached, status, stop
from lmx.api.supervisor.daemon import StartError
from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import Conflict
from tests.support.eventually import eventually
from tests.support.supervised import gone

FLOW = str(Path(__file__).with_name("flow.py"))


@pytest.fixture
def settings(home: Path, database: Database) -> Iterator[Settings]:
    """Settings whose leases last so long that no test waits for one to expire."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yield Settings(
        home=home,
        database_url=database.conninfo,
        api_port=port,
        workflow_modules=(FLOW,),
        lease_s=600,
        heartbeat_s=200,
    )
    stop(Settings(home=home, shutdown_grace_s=5))


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{settings.api_port}", timeout=60) as client:
        yield client


def child(view: StatusView, name: str) -> int:
    """Return the pid of a child that runs."""
    (pid,) = (child.pid for child in view.children if child.name == name)
    assert pid is not None
    return pid


def answers(api: httpx2.Client) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def submit(api: httpx2.Client, path: str, body: Mapping[str, object]) -> int:
    """Submit when a worker has made the function known; return the id."""

    def accepted() -> httpx2.Response | None:
        answer = api.post(path, json=body)
        return answer if answer.status_code != 404 else None

    answer = eventually(accepted, "a worker that knows the function", within_s=60)
    assert answer is not None
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_it_starts_works_tells_and_stops(settings: Settings, api: httpx2.Client) -> None:
    settings = replace(settings, database_url=None)
    pid = start_detached(settings)
    eventually(lambda: answers(api), "the API", within_s=60)
    task_id = submit(api, "/v1/tasks", {"function": "double", "args": [21]})
    assert api.get(f"/v1/tasks/{task_id}?wait=60").json()["output"] == 42

    view = status(settings)
    assert (view.pid, view.phase, view.database.schema) == (pid, "running", "current")
    assert {"api", "coordinator", "default"} <= {one.name for one in view.children}
    assert {one.state for one in view.children} == {"running"}
    assert {queue.name for queue in view.queues} >= {"coordinator", "default"}
    processes = [psutil.Process(one) for one in (pid, *(c.pid for c in view.children if c.pid))]
    with pytest.raises(Conflict, match=f"already running .* \\(pid {pid}\\)"):
        start_detached(settings)

    told: list[str] = []
    assert stop(settings, told.append)
    assert told[0] == f"stopping lmx (pid {pid})"
    assert told[-2:] == ["lmx has stopped", "the embedded Postgres has stopped"]
    assert all(gone(process) for process in processes)
    view = status(settings)
    assert (view.pid, view.phase, view.children) == (None, "stopped", ())
    assert view.database.state == "stopped"
    assert not stop(settings)


def test_the_task_of_a_killed_worker_runs_again_at_once(
    settings: Settings, api: httpx2.Client, tmp_path: Path
) -> None:
    start_detached(settings)
    eventually(lambda: answers(api), "the API", within_s=60)
    task_id = submit(api, "/v1/tasks", {"function": "behind_gate", "args": [str(tmp_path)]})
    eventually(lambda: lines(tmp_path / "began"), "the task's start")

    os.kill(child(status(settings), "default"), signal.SIGKILL)
    eventually(lambda: len(lines(tmp_path / "began")) == 2, "the task's second start")
    (tmp_path / "gate").touch()
    task = api.get(f"/v1/tasks/{task_id}?wait=60").json()
    assert task["output"] == child(status(settings), "default")
    assert [task["state"], task["deliveries"], task["attempts"]] == ["succeeded", 2, 0]


def test_a_run_goes_on_after_all_processes_were_killed(
    settings: Settings, api: httpx2.Client, tmp_path: Path
) -> None:
    pid = start_detached(settings)
    eventually(lambda: answers(api), "the API", within_s=60)
    run = {"workflow": "doubled_behind_gate", "args": [21, str(tmp_path)]}
    run_id = submit(api, "/v1/runs", run)
    eventually(lambda: lines(tmp_path / "began"), "the second child's start")

    pids = [pid, *(one.pid for one in status(settings).children if one.pid)]
    processes = [psutil.Process(one) for one in pids]
    for process in processes:
        process.kill()
    for process in processes:
        eventually(lambda process=process: gone(process), "its end")  # type: ignore[misc]
    (tmp_path / "gate").touch()
    start_detached(settings)
    eventually(lambda: answers(api), "the API again", within_s=60)

    assert api.get(f"/v1/runs/{run_id}?wait=60").json()["output"] == [21, 42]
    assert lines(tmp_path / "steps") == ["first"]
    tree = api.get(f"/v1/runs/{run_id}/tree").json()["tasks"]
    assert [task["name"] for task in tree] == ["doubled_behind_gate", "double", "behind_gate"]


def test_what_keeps_it_from_starting_in_the_background_is_told(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.api_port)),
        pytest.raises(StartError, match=f"port {settings.api_port} .* is already in use"),
    ):
        start_detached(settings)
    assert status(settings).phase == "stopped"
