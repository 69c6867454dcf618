"""`lmx down`: stops the supervisor of a home from outside, and the embedded server."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

from lmx.api.supervisor.state import lives, read_state, running_pid
from lmx.workflows.config import Settings
from lmx.workflows.database import embedded
from lmx.workflows.errors import TimedOut

_POLL_S = 0.05
_MARGIN_S = 5.0


def stop(settings: Settings, progress: Callable[[str], None] = lambda _: None) -> bool:
    """Stop the supervisor of this home and then the embedded server; False if neither ran.

    `progress` gets a line for a person at every step. Raises TimedOut if the supervisor does not
    end, even when told to stop at once.
    """
    pid = running_pid(settings.home)
    if pid is not None:
        _stop_supervisor(settings, pid, progress)
    if settings.database_url is None and embedded.stop(settings.home):
        progress("the embedded Postgres has stopped")
        return True
    return pid is not None


def _stop_supervisor(settings: Settings, pid: int, progress: Callable[[str], None]) -> None:
    grace = settings.shutdown_grace_s + _MARGIN_S
    for wait_s in (grace, _MARGIN_S):
        progress(f"stopping lmx (pid {pid})")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if _wait_for_end(settings, pid, wait_s, progress):
            progress("lmx has stopped")
            return
    raise TimedOut(f"lmx (pid {pid}) does not stop", hint=f"end it with `kill -9 {pid}`")


def _wait_for_end(
    settings: Settings, pid: int, wait_s: float, progress: Callable[[str], None]
) -> bool:
    deadline = time.monotonic() + wait_s
    told: set[str] = set()
    # It gives up its lock a moment before its end.
    while running_pid(settings.home) == pid or lives(pid):
        if time.monotonic() > deadline:
            return False
        state = read_state(settings.home)
        for child in state.children if state else ():
            if child.state == "stopped" and child.name not in told:
                told.add(child.name)
                progress(f"{child.name} has stopped")
        time.sleep(_POLL_S)
    return True
