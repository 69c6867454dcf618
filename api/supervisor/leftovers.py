"""Ends the children of a supervisor that was killed, should one have outlived it."""

from collections.abc import Callable
from pathlib import Path

import psutil

from lmx.api.supervisor.state import ChildState, read_state

# The kernel counts starts from the boot, whose time moves a little when the clock is set.
_SAME_START_S = 2.0


def end_leftovers(home: Path, grace_s: float, tell: Callable[[str], None]) -> None:
    """Stop what the last supervisor left running; `tell` is told of each child before the wait.

    Call it with the supervisor's lock held. They were asked to end when it died; one that is
    still finishing its work gets `grace_s` seconds from now.
    """
    state = read_state(home)
    left = [
        (child.name, process)
        for child in (state.children if state else ())
        if (process := _process_of(child)) is not None
    ]
    for name, process in left:
        tell(f"ending {name}, which its killed supervisor left running")
        _signal(process.terminate)
    _, alive = psutil.wait_procs([process for _, process in left], timeout=grace_s)
    for process in alive:
        _signal(process.kill)
    psutil.wait_procs(alive, timeout=grace_s)


def _process_of(child: ChildState) -> psutil.Process | None:
    """Return the child's process if it lives: its pid and its start time must both agree."""
    if child.pid is None or child.pid_started is None:
        return None
    try:
        process = psutil.Process(child.pid)
        same = abs(process.create_time() - child.pid_started) < _SAME_START_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.Error:
        return
