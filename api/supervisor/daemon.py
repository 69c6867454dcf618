"""`lmx up --detach`: starts the supervisor in the background and waits until it runs."""

import os
import subprocess
import sys
import time

from lmx.api.supervisor.state import SupervisorState, logs_folder, read_state, running_pid
from lmx.workflows.config import Settings, to_environment
from lmx.workflows.errors import ConfigError, Conflict, LmxError, TimedOut

_POLL_S = 0.05
_START_S = 90.0


class StartError(LmxError):
    """The supervisor in the background ended before it was ready; it said why in one line."""

    code = "start_failed"
    exit_code = 5


def start_detached(settings: Settings) -> int:
    """Start a supervisor that outlives this process and its terminal; return its pid.

    Returns when its children have been started. Raises Conflict if one runs already, StartError
    with the reason that it gave, TimedOut.
    """
    if (pid := running_pid(settings.home)) is not None:
        raise Conflict(
            f"lmx is already running in {settings.home} (pid {pid})",
            hint="`lmx status` shows it, `lmx down` stops it",
        )
    reasons = logs_folder(settings.home) / "start.log"
    try:
        reasons.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with reasons.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "lmx.api.supervisor"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                env=to_environment(settings, os.environ),
            )
    except OSError as error:
        raise ConfigError(f"lmx cannot be started in {settings.home}: {error.strerror}") from None
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = reasons.read_text(errors="replace").strip().splitlines() or ["no reason given"]
            raise StartError(lines[-1].removeprefix("lmx: "))
        if _is_up(read_state(settings.home), process.pid):
            return process.pid
        time.sleep(_POLL_S)
    raise TimedOut(
        f"lmx (pid {process.pid}) is not ready after {_START_S:g} s", hint=f"see {reasons.parent}"
    )


def _is_up(state: SupervisorState | None, pid: int) -> bool:
    if state is None or state.pid != pid or state.phase != "running":
        return False
    return all(child.state != "starting" for child in state.children)
