"""The supervisor's lock and its state file, by which other processes find it.

`$LMX_HOME/run/supervisor.pid` is held with flock while a supervisor runs: the kernel drops the
lock when it dies, so it can never be left behind. `supervisor.json` says what runs; it is only
believed while the lock is held, except for the children of a supervisor that was killed.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from lmx.workflows.errors import ConfigError, Conflict

_TRIES = 20
_PAUSE_S = 0.01


@dataclass(frozen=True)
class ChildState:
    """A child as the state file describes it; times are seconds since the epoch."""

    name: str
    state: str
    pid: int | None
    pid_started: float | None
    started_at: float | None
    restarts: int
    last_line: str


@dataclass(frozen=True)
class SupervisorState:
    """What a supervisor says of itself: `phase` is starting, running or stopping."""

    pid: int
    phase: str
    started_at: float
    api_url: str | None
    children: tuple[ChildState, ...] = ()


def run_folder(home: Path) -> Path:
    """Return the folder of the lock and the state file."""
    return home / "run"


def logs_folder(home: Path) -> Path:
    """Return the folder of the log files."""
    return home / "logs"


def _lock_file(home: Path) -> Path:
    return run_folder(home) / "supervisor.pid"


def _state_file(home: Path) -> Path:
    return run_folder(home) / "supervisor.json"


@contextmanager
def only_supervisor(home: Path) -> Iterator[None]:
    """Be the one supervisor of this home during the block; raise Conflict if there is another."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        run_folder(home).mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(_lock_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the folder {run_folder(home)} cannot be used: {error.strerror}",
            hint="set LMX_HOME to a folder that you can write",
        ) from None
    try:
        if not _lock(descriptor):
            raise Conflict(
                f"lmx is already running in {home} (pid {running_pid(home) or 'unknown'})",
                hint="`lmx status` shows it, `lmx down` stops it",
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
        _state_file(home).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def running_pid(home: Path) -> int | None:
    """Return the pid of the supervisor that holds the lock now, None if there is none."""
    try:
        descriptor = os.open(_lock_file(home), os.O_RDWR)
    except OSError:
        return None
    try:
        if _try_lock(descriptor):
            return None
        pid = int(os.read(descriptor, 32))
        # The threads of a process that was killed hold its lock for a moment longer.
        return pid if lives(pid) else None
    except ValueError:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock for good. Whoever asks `running_pid` holds it for a moment: try again."""
    for _ in range(_TRIES):
        if _try_lock(descriptor):
            return True
        time.sleep(_PAUSE_S)
    return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_state(home: Path, state: SupervisorState) -> None:
    """Replace the state file as a whole. A full disk leaves the old one: it only informs."""
    target = _state_file(home)
    draft = target.with_suffix(".tmp")
    with contextlib.suppress(OSError):
        draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
        draft.replace(target)


def read_state(home: Path) -> SupervisorState | None:
    """Return what the last supervisor wrote, None if there is nothing readable."""
    try:
        fields = json.loads(_state_file(home).read_text(encoding="utf-8"))
        children = tuple(ChildState(**child) for child in fields.pop("children"))
        return SupervisorState(**fields, children=children)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def lives(pid: int) -> bool:
    """Return whether the process `pid` is there and has not ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def pid_started(pid: int | None) -> float | None:
    """Return when the process `pid` was started: with the pid it names one process for ever."""
    try:
        return None if pid is None else float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
