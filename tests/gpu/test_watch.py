"""What others take of a device, as the GPU worker sees and honours it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from lmx.workers.gpu.nvml import GpuProcess, Reading
from lmx.workers.gpu.process import GpuWorker
from lmx.workers.gpu.sighting import sighting
from lmx.workflows import holds
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.devices import list_devices
from lmx.workflows.holds import Hold
from lmx.workflows.host import Identity, identity
from lmx.workflows.models import Model
from lmx.workflows.views import get_task
from tests.gpu.conftest import CALL, StartWorker
from tests.gpu.test_gpu_worker import WAIT_S, need
from tests.support.eventually import eventually

NOTHING = Reading("GPU", "uuid", None, None, None, (), 12, 50)


@dataclass
class ScriptedReader:
    """Sees what the test says."""

    reading: Reading | None = NOTHING
    problem: str | None = None

    def read(self) -> Reading | None:
        return self.reading

    def close(self) -> None:
        """It holds nothing."""

    def see(self, *processes: GpuProcess) -> None:
        """Let these processes be on the device."""
        self.reading = replace(NOTHING, others=processes)


@pytest.fixture
def conn(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as conn:
        yield conn


def ask(
    conn: psycopg.Connection[Any],
    worker: GpuWorker,
    size: int,
    who: Identity | None = None,
    lease_s: float = 60,
) -> int:
    return holds.ask(conn, worker.device.id, "train", size, who or identity(), lease_s)


def is_granted(conn: psycopg.Connection[Any], worker: GpuWorker, hold: int) -> bool:
    return {one.id: one.granted for one in holds.holds_on(conn, worker.device.id)}[hold]


def test_a_foreign_allocation_makes_a_call_wait_and_its_end_wakes_it(
    client: Client, small: Model, start_worker: StartWorker, database: Database
) -> None:
    reader = ScriptedReader()
    reader.see(GpuProcess(77, "game", need(small) // 2))
    worker = start_worker(need(small), reader)
    eventually(lambda: worker.engine.snapshot()["used"], "the game in the ledger")
    task = client.generate(model="small", prompt="Hello", **CALL)
    eventually(lambda: _events(database), "the call to wait for memory")
    assert get_task(database, task).state == "ready"
    reader.see()
    assert client.result(task, WAIT_S)["text"]


def _events(database: Database) -> list[Any]:
    with database.connect() as conn:
        query = "SELECT data FROM lmx.events WHERE kind = 'waiting_for_memory'"
        return conn.execute(query).fetchall()


def test_the_device_tells_who_else_is_on_it_and_how_warm_it_is(
    start_worker: StartWorker, conn: psycopg.Connection[Any]
) -> None:
    reader = ScriptedReader()
    reader.see(GpuProcess(77, "game", 500))
    start_worker(1000, reader)

    def seen() -> bool:
        (device,) = list_devices(conn)
        gpu = (device.snapshot or {}).get("gpu") or {}
        bookings = [(one.holder, one.kind, one.bytes) for one in device.bookings]
        return gpu.get("temperature") == 50 and bookings == [("game (77)", "foreign", 500)]

    eventually(seen, "the game and the temperature")


def test_without_a_driver_everything_goes_on(
    client: Client, small: Model, start_worker: StartWorker, conn: psycopg.Connection[Any]
) -> None:
    start_worker(need(small), ScriptedReader(None, "no driver"))
    task = client.generate(model="small", prompt="Hello", **CALL)
    assert client.result(task, WAIT_S)["text"]
    (device,) = list_devices(conn)
    assert device.snapshot is not None
    assert device.snapshot["gpu_problem"] == "no driver"
    assert device.snapshot["memory"]["source"] == "process"


def test_an_idle_model_makes_room_for_a_hold(
    client: Client, small: Model, start_worker: StartWorker, conn: psycopg.Connection[Any]
) -> None:
    worker = start_worker(need(small))
    client.result(client.generate(model="small", prompt="Hello", **CALL), WAIT_S)
    hold = ask(conn, worker, need(small))
    eventually(lambda: is_granted(conn, worker, hold), "the hold")
    assert worker.engine.snapshot()["models"] == []
    task = client.generate(model="small", prompt="Hello", **CALL)
    eventually(lambda: get_task(client.database, task).state == "ready", "the call to wait")
    holds.end(conn, hold)
    assert client.result(task, WAIT_S)["text"]


@pytest.mark.parametrize("end", ["its process is gone", "its lease has run out"])
def test_a_hold_ends_with_its_command(
    start_worker: StartWorker, conn: psycopg.Connection[Any], end: str
) -> None:
    worker = start_worker(1000)
    hold = ask(conn, worker, 600)
    eventually(lambda: is_granted(conn, worker, hold), "the hold")
    if end == "its process is gone":
        conn.execute("UPDATE lmx.vram_holds SET pid_started = 1")
    else:
        conn.execute(
            "UPDATE lmx.vram_holds SET host = 'elsewhere', seen_at = now() - interval '2 s',"
            " expires_at = now() - interval '1 s'"
        )
    eventually(lambda: not holds.holds_on(conn, worker.device.id), "the end of the hold")
    eventually(lambda: worker.engine.snapshot()["used"] == 0, "its bytes")


def test_a_hold_that_was_granted_before_the_worker_began_is_honoured(
    start_worker: StartWorker, conn: psycopg.Connection[Any]
) -> None:
    worker = start_worker(1000)
    start_worker.stop(worker)
    hold = ask(conn, worker, 600)
    assert holds.grant_unserved(conn, worker.device.id, hold, taken=0)
    late = ask(conn, worker, 600)
    assert not holds.grant_unserved(conn, worker.device.id, late, taken=0), "only 400 are left"
    again = start_worker(1000)
    eventually(lambda: again.engine.snapshot()["used"] == 600, "the hold in the ledger")
    assert not holds.grant_unserved(conn, worker.device.id, late, taken=0), "a worker decides now"
    holds.end(conn, hold)
    eventually(lambda: is_granted(conn, again, late), "the second hold")


def test_what_the_driver_says_is_taken_leaves_less_to_hold(
    start_worker: StartWorker, conn: psycopg.Connection[Any]
) -> None:
    worker = start_worker(1000)
    start_worker.stop(worker)
    hold = ask(conn, worker, 600)
    assert not holds.grant_unserved(conn, worker.device.id, hold, taken=500)
    assert holds.grant_unserved(conn, worker.device.id, hold, taken=400)


def hold_of(pid: int) -> Hold:
    return Hold(3, "train", 100, True, identity().host, pid, 0.0)


def test_a_process_below_a_hold_belongs_to_it() -> None:
    ours = GpuProcess(os.getpid(), "python", 70)
    game = GpuProcess(2**22 + 1, "game", 30)
    reading = replace(NOTHING, own=10, others=(ours, game))
    own, others = sighting(reading, [hold_of(os.getppid())], booked=10)
    assert own == 10
    assert others == [(f"python ({os.getpid()})", 70, "3 train"), (f"game ({game.pid})", 30, "")]


def test_a_list_of_processes_that_cannot_be_ours_is_not_believed() -> None:
    reading = replace(NOTHING, own=None, others=(GpuProcess(1, "python", 70),))
    assert sighting(reading, [], booked=10) == (None, None)


def test_processes_without_bytes_leave_the_count_to_the_driver() -> None:
    reading = replace(NOTHING, own=10, others=(GpuProcess(1, "game", None),))
    assert sighting(reading, [], booked=10) == (10, None)
