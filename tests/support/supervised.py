"""A supervisor in a process of its own, with children that a test chooses."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from lmx.api.supervisor.state import ChildState, SupervisorState, read_state
from lmx.workflows.database.connect import Database
from tests.support.eventually import eventually
from tests.support.processes import ROOT

_PROGRAM = """
import json, sys
from lmx.api.supervisor import ChildSpec, RestartPolicy, run_supervisor
from lmx.workflows.config import load_settings
from lmx.workflows.errors import LmxError
children = [ChildSpec(name, tuple(command)) for name, command in json.loads(sys.argv[1]).items()]
try:
    sys.exit(run_supervisor(load_settings(), children=children,
                            policy=RestartPolicy(**json.loads(sys.argv[2]))))
except LmxError as error:
    print(f"lmx: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""

#: A child that says that it is ready and then waits to be ended.
IDLE = "import os, signal; print('ready', os.getpid()); signal.pause()"
#: A child that does not end when it is asked to.
STUBBORN = (
    "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', os.getpid())\n"
    "while True: signal.pause()"
)


@dataclass
class Supervised:
    """A running supervisor; `output` is what it has printed so far."""

    home: Path
    process: "subprocess.Popen[str]"
    reader: threading.Thread = field(init=False)
    output: list[str] = field(default_factory=list)

    @property
    def state(self) -> SupervisorState | None:
        """What its state file says, None before the first and after the last."""
        found = read_state(self.home)
        return found if found and found.pid == self.process.pid else None

    def child(self, name: str) -> ChildState | None:
        """Return what the state file says of the child `name`."""
        children = self.state.children if self.state else ()
        return next((child for child in children if child.name == name), None)

    def running(self, name: str, restarts: int = 0) -> int:
        """Wait until the child runs and has said so, after `restarts`; return the pid."""

        def pid() -> int | None:
            child = self.child(name)
            there = child is not None and child.restarts >= restarts
            return child.pid if child and there and self.printed(f"ready {child.pid}") else None

        return eventually(lambda: pid() or 0, f"{name} running after {restarts} restarts")

    def printed(self, text: str) -> bool:
        """Return whether a line that was printed contains `text`."""
        return any(text in line for line in list(self.output))

    def ended(self) -> int:
        """Wait for the supervisor's end and return its exit code."""
        return self.process.wait(timeout=30)


def gone(process: psutil.Process) -> bool:
    """Return whether a process has ended; where nobody reaps orphans it stays as a zombie."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def environment(home: Path, database: Database, **more: str) -> Mapping[str, str]:
    """Return the environment of an lmx process that uses this home and this database."""
    inherited = [path] if (path := os.environ.get("PYTHONPATH")) else []
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *inherited])
    own = {"LMX_HOME": str(home), "LMX_DATABASE_URL": database.conninfo, "PYTHONPATH": path}
    return {**os.environ, **own, **more}


@contextmanager
def supervising(
    home: Path,
    database: Database,
    children: Mapping[str, str],
    *,
    policy: Mapping[str, Any] | None = None,
    heard_until: str | None = None,
    **settings: str,
) -> Iterator[Supervised]:
    """Run a supervisor whose children are Python programs, given by name; kill it at the end.

    After the first line with `heard_until` in it nobody reads what it prints.
    """
    commands = {name: [sys.executable, "-c", code] for name, code in children.items()}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, json.dumps(commands), json.dumps(policy or {})],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(home, database, **settings),
    )
    supervised = Supervised(home, process)
    supervised.reader = threading.Thread(target=_collect, args=(supervised, heard_until))
    supervised.reader.start()
    try:
        yield supervised
    except AssertionError as error:
        error.add_note("\n".join(["the supervisor printed:", *supervised.output]))
        raise
    finally:
        process.kill()
        process.wait()
        supervised.reader.join(timeout=10)


def _collect(supervised: Supervised, until: str | None) -> None:
    stream = supervised.process.stdout
    assert stream is not None
    for line in stream:
        supervised.output.append(line.rstrip("\n"))
        if until is not None and until in line:
            break
    stream.close()
