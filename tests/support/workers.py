"""Real worker processes that a test starts, kills, freezes and stops."""

import contextlib
import json
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from lmx.workflows.database.connect import Database
from tests.support.eventually import eventually
from tests.support.flows import NOTES
from tests.support.zygote import Zygote

WORKER: Final = "lmx.workers.__main__:main"
MODEL: Final = "tests.support.pretend_model:main"
PROGRAMS: Final = {"gpu": MODEL}


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """One process; it may be dead by now."""

    queue: str
    pid: int
    process: psutil.Process

    @property
    def alive(self) -> bool:
        """Whether it still runs (or is frozen)."""
        try:
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process is gone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.send_signal(number)  # unless another process has got the pid

    def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait_gone()

    def wait_gone(self, within_s: float = 20.0) -> None:
        """Wait for its end."""
        eventually(lambda: not self.alive, f"the end of the {self.queue} worker", within_s)

    def freeze(self) -> None:
        """Stop its clockwork: none of its threads runs until `thaw`."""
        self.send(signal.SIGSTOP)
        stopped = psutil.STATUS_STOPPED
        eventually(lambda: self.process.status() == stopped, "a frozen process")

    def thaw(self) -> None:
        """Let it go on."""
        self.send(signal.SIGCONT)


@dataclass(slots=True)
class Workers:
    """The worker processes of one test, and what their bodies have noted."""

    database: Database
    folder: Path
    zygote: Zygote
    settings: dict[str, str] = field(default_factory=dict)
    started: list[WorkerProcess] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """What all of them have printed."""
        return self.folder / "log"

    def start(
        self,
        queue: str,
        slots: int = 4,
        *,
        fault: str = "",
        program: str | None = None,
        **settings: str,
    ) -> WorkerProcess:
        """Start a process that serves `queue`; `fault` is where it is to kill itself."""
        environment = {
            "LMX_HOME": str(self.folder),
            "LMX_DATABASE_URL": self.database.conninfo,
            "LMX_WORKFLOWS": "tests.support.flows",
            "LMX_FAULT": fault,
            NOTES: str(self.folder / "notes"),
            **self.settings,
            **settings,
        }
        program = program or PROGRAMS.get(queue, WORKER)
        pid = self.zygote.start(program, [queue, "--slots", str(slots)], environment, self.log)
        worker = WorkerProcess(queue, pid, psutil.Process(pid))
        self.started.append(worker)
        return worker

    def serving(self, worker: WorkerProcess) -> int:
        """Wait until a process has registered and claims; return its worker id."""
        query = (
            "SELECT w.id FROM lmx.workers w, pg_stat_activity a WHERE w.pid = %s"
            " AND w.stopped_at IS NULL AND a.datname = current_database()"
            " AND a.application_name = 'lmx worker ' || w.id"
        )
        with self.database.connect() as conn:
            row = eventually(lambda: conn.execute(query, [worker.pid]).fetchone(), "a worker")
        return int(row[0])

    def notes(self, what: str | None = None) -> list[dict[str, Any]]:
        """What the bodies have noted, in order; not what is half written, now or for ever."""
        try:
            lines = (self.folder / "notes").read_text().splitlines()
        except FileNotFoundError:
            return []
        notes = [note for line in lines if (note := _whole(line)) is not None]
        return [one for one in notes if what is None or one["what"] == what]

    def noted(self, what: str, count: int = 1, within_s: float = 20.0) -> list[dict[str, Any]]:
        """Wait until at least `count` bodies have noted `what`."""

        def found() -> list[dict[str, Any]]:
            notes = self.notes(what)
            return notes if len(notes) >= count else []

        return eventually(found, f"{count} notes of {what!r}", within_s)

    def executions(self, what: str) -> Counter[int]:
        """How often each task noted `what`."""
        return Counter(note["task"] for note in self.notes(what))

    def open_gate(self, name: str) -> None:
        """Let the bodies go on that wait at the gate `name`."""
        (self.folder / f"gate-{name}").touch()

    def close(self) -> None:
        """Kill all that still run."""
        for worker in self.started:
            worker.send(signal.SIGKILL)


def _whole(line: str) -> dict[str, Any] | None:
    """The note of a line; None while it is being written, or if its writer was killed over it."""
    try:
        note: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return note
