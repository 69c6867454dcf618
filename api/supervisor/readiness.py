"""Whether what the supervisor has started can be used: the API listens, the workers serve."""

import socket
import time
from collections.abc import Set

from lmx.api.supervisor.status import ChildView, status
from lmx.workflows.config import Settings

_POLL_S = 0.1
_PATIENCE_S = 20.0


def await_service(settings: Settings, patience_s: float = _PATIENCE_S) -> list[ChildView]:
    """Wait until every process serves or has given up; return those that do not serve.

    From then on a workflow that the workers know can be submitted by its name.
    """
    deadline = time.monotonic() + patience_s
    while True:
        view = status(settings)
        pids = {worker.pid for worker in view.workers if worker.alive}
        absent = [child for child in view.children if not _serves(child, settings, pids)]
        over = view.pid is None or time.monotonic() >= deadline
        if over or all(child.state in ("failed", "stopped") for child in absent):
            return absent
        time.sleep(_POLL_S)


def _serves(child: ChildView, settings: Settings, workers: Set[int]) -> bool:
    if child.state != "running":
        return False
    return _listens(settings) if child.name == "api" else child.pid in workers


def _listens(settings: Settings) -> bool:
    try:
        with socket.create_connection((settings.api_host, settings.api_port), timeout=1):
            return True
    except OSError:
        return False
