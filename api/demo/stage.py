"""The demo's own place: a home, a database and a supervisor beside the user's, never among them."""

import os
import shutil
import signal
import socket
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from lmx.api.supervisor import start_detached, stop
from lmx.api.supervisor.state import read_state, running_pid
from lmx.workflows.config import Settings
from lmx.workflows.database import embedded
from lmx.workflows.errors import Conflict

WORKFLOW_MODULE = "lmx.workflows.examples.trio"
_OVERRIDDEN = ("LMX_DATABASE_URL", "LMX_WORKFLOWS", "LMX_API_HOST", "LMX_API_PORT", "LMX_VRAM_CAP")
_KILL_WAIT_S = 10.0


@dataclass(frozen=True)
class Stage:
    """The demo's settings, and what can be done to the processes that run by them."""

    settings: Settings

    def up(self) -> int:
        """Start the supervisor in the background, or find it running; return its pid."""
        return running_pid(self.settings.home) or start_detached(self.settings)

    def down(self) -> None:
        """Stop the supervisor and the embedded server in good order."""
        stop(self.settings)

    def kill(self) -> list[str]:
        """Kill the supervisor and all of its processes with SIGKILL; return who was killed.

        The supervisor is stopped first, so that it can neither restart a child nor warn one.
        """
        supervisor = running_pid(self.settings.home)
        if supervisor is None:
            return []
        os.kill(supervisor, signal.SIGSTOP)
        state = read_state(self.settings.home)
        children = state.children if state else ()
        victims = [(child.name, child.pid) for child in children if child.pid]
        victims.append(("supervisor", supervisor))
        processes = [psutil.Process(pid) for _, pid in victims if psutil.pid_exists(pid)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=_KILL_WAIT_S)
        return [f"{name} {pid}" for name, pid in victims]


def demo_home(settings: Settings) -> Path:
    """Where the demo keeps its data: a folder within the user's home of lmx."""
    return settings.home / "demo"


def prepare_stage(settings: Settings, vram_cap: int) -> Stage:
    """A place of the demo's own: an empty database, a free port, a device of `vram_cap` bytes.

    What the last demo left there is removed. Raises Conflict while another demo runs.
    """
    home = demo_home(settings)
    if (pid := running_pid(home)) is not None:
        raise Conflict(
            f"another demo is running (pid {pid})", hint=f"stop it: LMX_HOME={home} lmx down"
        )
    embedded.stop(home)
    shutil.rmtree(home, ignore_errors=True)
    # Children read the environment too: nothing of the user's set-up may reach the demo's.
    for name in _OVERRIDDEN:
        os.environ.pop(name, None)
    return Stage(
        replace(
            settings,
            home=home,
            database_url=None,
            vram_cap=vram_cap,
            api_host="127.0.0.1",
            api_port=_free_port(),
            workflow_modules=(WORKFLOW_MODULE,),
        )
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
