"""One system's database and processes during one measurement."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psutil
import psycopg

from benchmarks.adapters import adapter_class
from benchmarks.server import Counters, Server
from benchmarks.stamps import Stamps

_STAMP_SLOTS = 40_000
_STOP_S = 15.0
_CLIENT_S = 900.0
# Namespaces of its own: a host name to change, and process ids that mean nothing outside.
_ELSEWHERE = ("unshare", "--uts", "--pid", "--fork", "--mount-proc")


class TrialError(RuntimeError):
    """A client or worker of the system failed; the message says which and why."""


class Trial:
    """A fresh database with one system installed (a context manager).

    `relay_directory` puts a counting relay between the system and the server.
    """

    _serial = 0

    def __init__(
        self, server: Server, system: str, settings: str, relay_directory: Path | None = None
    ) -> None:
        Trial._serial += 1
        self.system = system
        self.settings = settings
        self._server = server
        self._relay_directory = relay_directory
        self._database = f"bench_{Trial._serial}"
        self._workers: list[subprocess.Popen[bytes]] = []
        self._polls = 0

    def __enter__(self) -> Trial:
        self._folder = tempfile.TemporaryDirectory(prefix="lmx-trial-")
        self._errors = Path(self._folder.name) / "errors"
        self.stamps_path = Path(self._folder.name) / "stamps"
        self.stamps = Stamps.create(self.stamps_path, _STAMP_SLOTS)
        self._url = self._server.create(self._database)
        self.client("install")
        self._server.wait_until_left(self._database)
        self._start = self._server.counters(self._database)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_worker()
        self._server.drop(self._database)
        self._folder.cleanup()

    def client(self, *arguments: str) -> dict[str, float]:
        """Run a client process to its end; what it printed."""
        run = subprocess.run(
            self._command(*arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=_CLIENT_S,
        )
        if run.returncode:
            raise TrialError(f"{self.system} {arguments[0]}: {run.stderr.strip()[-2000:]}")
        answer: dict[str, float] = json.loads(run.stdout.splitlines()[-1]) if run.stdout else {}
        return answer

    def start_worker(self, *, elsewhere: bool = False) -> psutil.Process:
        """Start a worker process; `elsewhere` under the name and process ids of another host."""
        command = self._command("work")
        if elsewhere:
            command = [*_ELSEWHERE, *self._command("work-elsewhere")]
        with self._errors.open("ab") as errors:
            worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        self._workers.append(worker)
        return psutil.Process(worker.pid)

    def kill_worker(self) -> float:
        """SIGKILL the worker and its children; the monotonic time at which it was sent."""
        worker = self._workers.pop()
        sent = time.monotonic()
        _signal_tree(worker.pid, signal.SIGKILL)
        worker.wait()
        return sent

    def stop_worker(self) -> None:
        """SIGTERM every worker, SIGKILL after a grace period."""
        while self._workers:
            worker = self._workers.pop()
            _signal_tree(worker.pid, signal.SIGTERM)
            try:
                worker.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                _signal_tree(worker.pid, signal.SIGKILL)
                worker.wait()

    def wait_for_first_body(self, slots: range, timeout_s: float = 60.0) -> None:
        """Wait until one body has started."""
        if not self.stamps.wait_any(slots, timeout_s):
            raise TrialError(f"{self.system}: no body ever ran. {self.worker_errors()}")

    def wait_for_bodies(self, slots: range, timeout_s: float = 120.0) -> None:
        """Wait until bodies have started for all slots."""
        if not self.stamps.wait(slots, timeout_s):
            missing = sum(1 for stamp in self.stamps.all(slots) if not stamp)
            raise TrialError(
                f"{self.system}: {missing} of {len(slots)} bodies never ran. {self.worker_errors()}"
            )

    def wait_until_recorded(self, timeout_s: float = 120.0) -> float:
        """Wait until the system's own tables say that nothing is left; the time at which."""
        query = adapter_class(self.system).unfinished_sql
        deadline = time.monotonic() + timeout_s
        with psycopg.connect(self._url, autocommit=True) as connection:
            while time.monotonic() < deadline:
                self._polls += 1
                if connection.execute(query.encode()).fetchone() == (0,):
                    return time.monotonic()
                time.sleep(0.002)
        raise TrialError(f"{self.system}: tasks never recorded as done. {self.worker_errors()}")

    def counters(self) -> Counters | None:
        """What the clients and workers caused since the installation, once all have left.

        None when somebody stayed connected, for then the server has not told all.
        """
        if not self._server.wait_until_left(self._database):
            return None
        spent = self._server.counters(self._database) - self._start
        return Counters(spent.commits - self._polls, spent.writes)

    def worker_errors(self) -> str:
        """The end of what the workers wrote to standard error."""
        return self._errors.read_text(errors="replace")[-2000:] if self._errors.exists() else ""

    def _command(self, role: str, *arguments: str) -> list[str]:
        url = self._url
        if self._relay_directory is not None:
            url = url.replace(str(self._server.socket_directory), str(self._relay_directory))
        module = [sys.executable, "-m", "benchmarks.process", role, self.system, self.settings]
        return [*module, url, os.fspath(self.stamps_path), *arguments]


def _signal_tree(pid: int, number: signal.Signals) -> None:
    """Signal a process and everything that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
